public import ApusMessaging
public import Transport

/// Everything that an engine must know before it starts.
public struct EngineConfiguration: Sendable {
  /// Where the controller is: the engine side of a connection file.
  public var connection: ConnectionFile
  /// The file that a restarted controller will write; watched while the connection is lost. `nil`: only the old ports are tried.
  public var connectionPath: String?
  /// The engine's name on the wire and the identity of its sockets. Survives reconnection.
  public var uuid: EngineUUID
  /// What it runs, as the hub tells it to clients.
  public var kind = EngineKind.python
  /// The number to ask for: an MPI rank, `--IPEngine.id`. The controller may give another.
  public var wantedID: EngineID?
  /// What tasks may ask for by name (`resources={"gpu": 1}`), and how much of it is here.
  public var resources: [String: Double] = [:]
  /// How long the controller may take to answer the first registration.
  public var registrationTimeout: Duration = .seconds(5)
  /// Heartbeat checks in a row without a ping before the engine gives up; 0 is never.
  public var maximumHeartbeatMisses = 50
  /// Where the controller is, when the connection file is wrong about it.
  public var location: String?
  /// HMAC key for connection files that carry none.
  public var fallbackKey: String?
  /// CURVE: our own pair (made when it is missing and needed) and the server's public key for files that carry none.
  public var curveKeys: CurveKeyPair?
  public var fallbackServerKey: String?
  /// How long a running task may go on after a request to shut down.
  public var shutdownGrace: Duration = .seconds(1)
  /// How it starts anew when a task does not end and the process is ended under it; `nil`: that is for whoever has started it.
  public var restartCommand: RestartCommand?
  /// How long printed text may wait for more of it during a long task.
  public var outputDelay: Duration = .milliseconds(100)

  public init(connection: ConnectionFile, uuid: EngineUUID) {
    self.connection = connection
    self.uuid = uuid
  }

  /// The key that signs messages; empty is unsigned.
  var key: String { connection.key.isEmpty ? (fallbackKey ?? "") : connection.key }

  var serverKey: String? {
    if let key = connection.curveServerKey, !key.isEmpty { return key }
    guard let fallbackServerKey, !fallbackServerKey.isEmpty else { return nil }
    return fallbackServerKey
  }
}

/// Why an engine could not start, or had to stop.
public struct EngineError: Error, Sendable, CustomStringConvertible {
  public struct Code: Hashable, Sendable {
    let raw: Int
    /// The controller did not answer.
    public static let registrationTimedOut = Code(raw: 1)
    /// The controller answered, and refused.
    public static let registrationRefused = Code(raw: 2)
    /// The connection information is of no use: see the text.
    public static let badConnection = Code(raw: 3)
  }

  public let code: Code
  public let description: String

  public init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }
}
