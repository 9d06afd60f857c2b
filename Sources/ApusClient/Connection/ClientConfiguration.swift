public import Transport

/// Everything that can be set of a client.
public struct ClientConfiguration: Sendable {
  /// How long the controller may take for its first answer.
  public var connectTimeout = Duration.seconds(10)
  /// How long the hub, or an engine's control channel, may take to answer a query.
  public var requestTimeout = Duration.seconds(30)
  /// How long a broken connection to the controller may take to come back before all that is under way fails.
  public var controllerGrace = Duration.seconds(5)
  /// The same of a controller that keeps a journal: it is going to be restarted, and tasks of load-balanced views go on.
  public var restartGrace = Duration.seconds(60)
  /// Tasks that may be under way at once; who submits more waits.
  public var maximumInFlight = InFlightLimit()
  /// How long after its reply a task's output may take, where nothing says that it is complete.
  public var outputGrace = Duration.seconds(2)
  /// Bytes of output that are kept of one task; what comes after is dropped, and its `TaskOutput` says so.
  public var maximumOutputBytes = 16 << 20
  /// What requests name as their user.
  public var username = "apus"
  /// libzmq's I/O threads.
  public var ioThreads = 1
  /// The way to a controller of this very process, which was given the same.
  public var inProcess: InProcess?
  /// Who is told of everything, where callers hold threads.
  var listener: CompletionQueue?

  public init() {}
}

/// A bound on what is under way, in tasks and in bytes. A single task above the limit of bytes goes when nothing else is under way.
public struct InFlightLimit: Sendable, Hashable {
  /// Tasks sent and not yet answered.
  public var tasks: Int
  /// Bytes of their messages.
  public var bytes: Int

  public init(tasks: Int = 16_384, bytes: Int = 256 << 20) {
    self.tasks = max(1, tasks)
    self.bytes = max(1, bytes)
  }
}
