public import Transport

/// How a party reaches its controller: within the process, by Unix domain sockets of the host that both run on, or by TCP.
public enum ControllerRoute: Hashable, Sendable {
  case inProcess(name: String)
  /// The folder with one socket for each port. Only the controller's user can look into it, so nothing is encrypted.
  case local(directory: String)
  /// `prefix` is all but the port.
  case tcp(prefix: String)

  /// - Parameters:
  ///   - file: says where the controller listens.
  ///   - location: host name or address of the controller, where that of the file is wrong.
  public init(_ file: ConnectionFile, location: String? = nil) {
    if let directory = file.localDirectory, LocalDirectory.isOwn(directory),
      // A folder for temporary files may have been tidied up meanwhile.
      LocalDirectory.hasSocket(String(file.registration), in: directory)
    {
      self = .local(directory: directory)
    } else {
      let host = ControllerAddress.resolve(host: file.host, location: location ?? file.location)
      self = .tcp(prefix: String(file.endpoint(port: 0, host: host).dropLast(2)))
    }
  }

  public var isTCP: Bool { if case .tcp = self { true } else { false } }

  public func endpoint(_ port: Int) -> String {
    switch self {
    case .inProcess(let name): "inproc://\(name)-\(port)"
    case .local(let directory): "ipc://\(LocalDirectory.file(String(port), in: directory))"
    case .tcp(let prefix): "\(prefix):\(port)"
    }
  }
}

extension Socket {
  /// Milliseconds between two pings of a connection that may break without a word, and how long the answer may take.
  private static let pingInterval: Int32 = 10_000
  private static let pingTimeout: Int32 = 30_000

  /// A host or a cable that is gone says nothing: the system probes connections that are idle, and gives up what is not confirmed within half a
  /// minute. For sockets that are going to be used over TCP.
  /// - Parameter pings: whether a process that does not answer, because it was stopped, loses its connection too.
  public borrowing func watchConnections(pings: Bool) throws(ZeroMQError) {
    try set(.keepalive, 1)
    try set(.keepaliveIdle, 15)
    try set(.keepaliveInterval, 5)
    try set(.keepaliveCount, 3)
    try set(.maximumRetransmission, 30_000)
    guard pings else { return }
    try set(.heartbeatInterval, Self.pingInterval)
    try set(.heartbeatTimeout, Self.pingTimeout)
  }

  /// As what leads to the controller needs it: encrypted and with pings where others could listen or cables could break.
  /// - Parameter curve: our own pair, and the controller's public key.
  public borrowing func prepare(for route: ControllerRoute, curve: (keys: CurveKeyPair, server: String)?) throws(ZeroMQError) {
    guard route.isTCP else { return }
    try watchConnections(pings: true)
    if let curve { try useCurve(curve.keys, server: curve.server) }
  }
}
