import ApusProcess
import ApusMessaging
import Glibc
import Synchronization
import Transport

/// Knows how many engines a controller has, as a client of it: works with ours and with ipyparallel's.
///
/// A thread of its own for the seconds of a start: it asks, sleeps until a notification comes, and asks again. Afterwards it is gone, and with it
/// libzmq's threads.
final class RegistrationWatch: Sendable {
  /// A number of engines as four bytes whenever the controller has answered.
  let descriptor: Int32
  private let writeEnd: Int32
  private let file: ConnectionFile
  private let supervises: Bool
  private let isStopped = Atomic(false)

  /// - Parameter supervises: whether it asks for a launcher that stays. The controller hears of that one before it says how many engines there are:
  ///   who is told that the cluster is ready may have a wish at once.
  init(_ file: ConnectionFile, supervises: Bool = false) throws(ClusterError) {
    (self.file, self.supervises) = (file, supervises)
    do throws(ProcessError) { (descriptor, writeEnd) = try Pipe.open() } catch { throw ClusterError(error) }
    // The thread holds the watch for as long as it runs.
    if let refusal = DetachedThread.start({ [self] in run() }) {
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  deinit {
    close(descriptor)
    close(writeEnd)
  }

  /// Whether a controller answers.
  /// - Parameter patience: one that is not there does not say so.
  static func answers(_ file: ConnectionFile, within patience: Duration = .seconds(1)) -> Bool {
    // libzmq would try it again and again.
    if isRefused(file.reachableEndpoint(port: file.registration)) { return false }
    guard let watch = try? RegistrationWatch(file) else { return false }
    defer { watch.stop() }
    var descriptors = [pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)]
    let deadline = MonotonicClock.now + patience
    while true {
      let left = (deadline - MonotonicClock.now).milliseconds
      let count = poll(&descriptors, 1, Int32(clamping: max(0, left)))
      if count > 0 { return watch.read() != nil }
      if count == 0 || errno != EINTR { return false }
    }
  }

  /// Whether a host says that nobody listens there.
  private static func isRefused(_ endpoint: String) -> Bool {
    guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":"),
      let port = UInt16(endpoint[endpoint.index(after: colon)...])
    else { return false }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    // A name may be looked up for longer than anybody wants to wait.
    guard inet_pton(AF_INET, String(endpoint[..<colon].dropFirst("tcp://".count)), &address.sin_addr) == 1 else { return false }
    let socket = Glibc.socket(
      AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { return false }
    defer { close(socket) }
    let result = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    if result == 0 { return false }
    if errno != EINPROGRESS { return errno == ECONNREFUSED }
    var descriptor = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
    guard poll(&descriptor, 1, 500) > 0 else { return false }
    var code: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &size) == 0 && code == ECONNREFUSED
  }

  /// The thread ends within a second.
  func stop() { isStopped.store(true, ordering: .relaxed) }

  /// The newest number, if one came.
  func read() -> Int? {
    var newest: Int32?
    var count: Int32 = 0
    while Glibc.read(descriptor, &count, 4) == 4 { newest = count }
    return newest.map(Int.init)
  }

  private func run() {
    do {
      let context = try Context()
      let requests = try Socket(.dealer, in: context)
      let notifications = try Socket(.sub, in: context)
      try notifications.set(.subscribe, [])
      if let key = file.curveServerKey, !key.isEmpty {
        let keys = try CurveKeyPair.generate()
        try requests.useCurve(keys, server: key)
        try notifications.useCurve(keys, server: key)
      }
      if case .client(let port, _, _) = file.side { try notifications.connect(file.reachableEndpoint(port: port)) }
      try requests.connect(file.reachableEndpoint(port: file.registration))
      var session = Session(key: file.key)
      while !isStopped.load(ordering: .relaxed) {
        if supervises { try requests.send(session.message(.demandRequest, content: ["supervises": true]).frames) }
        let request = session.message(.connectionRequest, content: ["batches": true])
        try requests.send(request.frames)
        while try requests.waitReadable(milliseconds: 1000), let frames = try requests.receive() {
          guard let reply = try? session.open(frames), reply.parentID == request.messageID,
            let engines = (try? reply.content())?["engines"]?.objectValue
          else { continue }
          var count = Int32(clamping: engines.count)
          _ = write(writeEnd, &count, 4)
          break
        }
        // A notification that came before the subscription did is made up for by asking every second.
        if try notifications.waitReadable(milliseconds: 1000) { while try notifications.receive() != nil {} }
      }
    } catch {
      // The launcher's own time limit tells the user: without libzmq there is nothing to watch.
    }
  }
}

extension ConnectionFile {
  /// For a client on the controller's host, or on one that knows its name.
  func reachableEndpoint(port: Int) -> String {
    guard host == "*" || host == "0.0.0.0" else { return endpoint(port: port) }
    var name = [CChar](repeating: 0, count: 256)
    let isHere = location.isEmpty || gethostname(&name, 255) == 0 && strcmp(name, location) == 0
    return endpoint(port: port, host: isHere ? "127.0.0.1" : location)
  }
}
