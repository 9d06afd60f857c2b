/// Why a client cannot do what it was asked: something on this side, or on the way. A task that failed over there is a `RemoteError`.
public struct ClientError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure it is. Further codes may come.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }

    /// No connection file is where it was looked for.
    public static let noCluster = Code("noCluster")
    /// The connection file cannot be read, or asks for what this client does not speak.
    public static let connectionFile = Code("connectionFile")
    /// Nothing listens at the address in the connection file: the file is stale, or a network is in between.
    public static let controllerNotFound = Code("controllerNotFound")
    /// Something listens there and does not answer: usually another controller with another key.
    public static let controllerSilent = Code("controllerSilent")
    /// The controller was there and is gone.
    public static let controllerLost = Code("controllerLost")
    /// The client was closed.
    public static let closed = Code("closed")
    /// The time that the caller gave is over.
    public static let timeout = Code("timeout")
    /// An engine that is not registered.
    public static let unknownEngine = Code("unknownEngine")
    /// The view has no engines at the moment.
    public static let noEngines = Code("noEngines")
    /// A value that the caller gave cannot be.
    public static let invalidArgument = Code("invalidArgument")
    /// A reply that does not hold what it should.
    public static let badReply = Code("badReply")
    /// libzmq refused.
    public static let messaging = Code("messaging")
  }

  public let code: Code
  /// What happened and where.
  public let reason: String
  /// What the caller can do about it; may be empty.
  public let advice: String

  public init(_ code: Code, _ reason: String, advice: String = "") {
    self.code = code
    self.reason = reason
    self.advice = advice
  }

  public var description: String { advice.isEmpty ? reason : "\(reason). \(advice)" }
}
