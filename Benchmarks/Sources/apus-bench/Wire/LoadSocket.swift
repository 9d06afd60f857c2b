import ApusMessaging
import CZeroMQ
import Transport

/// libzmq's context, for the sockets of the load program. It lives as long as the process.
///
/// `@unchecked Sendable`: a libzmq context is thread safe by contract (zmq(7)), and the pointer never changes.
final class LoadContext: @unchecked Sendable {
  let handle: UnsafeMutableRawPointer

  init(maxSockets: Int32 = 1023) throws(LoadError) {
    guard let handle = zmq_ctx_new() else { throw LoadError("libzmq gives no context") }
    self.handle = handle
    zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, maxSockets)
  }
}

/// A socket on libzmq's own calls.
///
/// The load program shares two cores with what it measures, so its hot paths go without the boxes and arrays that
/// `Transport.Socket` makes of a message; see `MessageParts` and `ConstantFrame`.
struct LoadSocket: ~Copyable {
  enum Kind { case dealer, router, sub, pub }

  let handle: UnsafeMutableRawPointer
  // The context outlives its sockets.
  private let context: LoadContext

  /// - Parameter highWaterMark: messages that may wait in each direction; 0 is no limit.
  init(_ kind: Kind, in context: LoadContext, identity: String? = nil, highWaterMark: Int32 = 0) throws(LoadError) {
    let raw =
      switch kind {
      case .dealer: ZMQ_DEALER
      case .router: ZMQ_ROUTER
      case .sub: ZMQ_SUB
      case .pub: ZMQ_PUB
      }
    guard let handle = zmq_socket(context.handle, raw) else { throw LoadError("open a socket: \(Self.reason())") }
    self.handle = handle
    self.context = context
    set(ZMQ_SNDHWM, highWaterMark)
    set(ZMQ_RCVHWM, highWaterMark)
    set(ZMQ_LINGER, 0)
    if let identity { zmq_setsockopt(handle, ZMQ_ROUTING_ID, identity, identity.utf8.count) }
    if kind == .sub { zmq_setsockopt(handle, ZMQ_SUBSCRIBE, nil, 0) }
  }

  deinit { zmq_close(handle) }

  /// Options of this program are constants that libzmq knows: it does not refuse them.
  borrowing func set(_ option: Int32, _ value: Int32) {
    var value = value
    zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size)
  }

  /// To one of a controller's ports, as our own parties go there: by a local socket on its host, else encrypted if it asks for that.
  borrowing func connect(_ file: ConnectionFile, port: Int) throws(LoadError) {
    let route = ControllerRoute(file)
    if route.isTCP, let server = file.curveServerKey, !server.isEmpty {
      guard let keys = try? CurveKeyPair.generate() else { throw LoadError("libzmq makes no keys") }
      for (option, key) in [
        (ZMQ_CURVE_SERVERKEY, server), (ZMQ_CURVE_PUBLICKEY, keys.publicKey), (ZMQ_CURVE_SECRETKEY, keys.secretKey),
      ] { zmq_setsockopt(handle, option, key, key.utf8.count) }
    }
    try connect(route.endpoint(port))
  }

  borrowing func connect(_ endpoint: String) throws(LoadError) {
    guard zmq_connect(handle, endpoint) == 0 else { throw LoadError("connect \(endpoint): \(Self.reason())") }
  }

  /// - Returns: the port, which the system chooses.
  borrowing func bindToFreePort() throws(LoadError) -> Int {
    guard zmq_bind(handle, "tcp://127.0.0.1:*") == 0 else { throw LoadError("bind a socket: \(Self.reason())") }
    var text = [CChar](repeating: 0, count: 256)
    var size = text.count
    zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &size)
    let endpoint = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let port = Int(endpoint.split(separator: ":").last ?? "") else { throw LoadError("no port in \(endpoint)") }
    return port
  }

  /// All parts of one message that somebody else made: for what is not timed.
  borrowing func send(_ frames: [Frame]) throws(LoadError) {
    for (index, frame) in frames.enumerated() {
      let flags = index + 1 < frames.count ? ZMQ_SNDMORE : 0
      let sent = frame.withUnsafeBytes { zmq_send(handle, $0.baseAddress, $0.count, flags) }
      if sent < 0 { throw LoadError("send: \(Self.reason())") }
    }
  }

  /// - Returns: false when the time is over.
  borrowing func waitReadable(milliseconds: Int) -> Bool {
    var item = zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
    return zmq_poll(&item, 1, milliseconds) > 0
  }

  static func reason() -> String { String(cString: zmq_strerror(zmq_errno())) }
}
