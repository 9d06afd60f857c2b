public import ApusClient
import ApusCluster
public import ApusController
import ApusEngine
import ApusMessaging
import Glibc
public import Logging
import Transport

/// A cluster within a program: its controller in this process, its engines beside it or in it.
public struct EmbeddedCluster: Sendable {
  /// Where engines run.
  public enum Placement: Sendable, Hashable {
    /// This program again, once for each engine: a task that crashes ends its engine and nothing else. The program must be a
    /// `ClusterProgram`, which knows what to do when it is started so.
    case processes
    /// Threads of this process. For tests and small scripts: a task that crashes ends everything.
    case threads
    /// This program again, started by a launcher with these options of `apus engines`: `["--engines=slurm", "-n16", "--time=1h"]`. The
    /// program must be a `ClusterProgram` that the engines' hosts have at the same path.
    case launcher([String])
  }

  /// At the beginning, and for good where there is no `range`.
  public var engines: Int
  /// Engines at least and at most, of a cluster that follows its work: more are started when tasks wait, and those go that have had nothing
  /// to do for ten seconds. Not for engines that are threads.
  public var range: ClosedRange<Int>?
  public var placement: Placement
  /// Changes to the controller's configuration.
  public var configureController: @Sendable (inout ControllerConfiguration) -> Void = { _ in }
  public var client = ClientConfiguration()
  /// Called for the kernel of each engine that is a thread, before it registers.
  public var prepare: @Sendable (SwiftKernel) -> Void = { _ in }
  public var logger = Logger(label: "apus.cluster") { label in
    var handler = StreamLogHandler.standardError(label: label)
    handler.logLevel = .error
    return handler
  }
  /// How long engines may take to register.
  public var startTimeout = Duration.seconds(60)

  /// - Parameter engines: by default one for each core.
  public init(engines: Int? = nil, placement: Placement = .processes) {
    self.engines = max(0, engines ?? Self.cores)
    self.placement = placement
  }

  /// A cluster that grows and shrinks with its work.
  /// - Parameter range: engines at least, with which it begins, and at most.
  public init(engines range: ClosedRange<Int>, placement: Placement = .processes) {
    self.init(engines: range.lowerBound, placement: placement)
    self.range = max(0, range.lowerBound)...max(0, range.upperBound)
  }

  /// Processors that this process may use.
  public static var cores: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

  /// Starts the cluster, runs the body with a client of it, and takes everything down again, whatever comes of it.
  /// - Throws: what the body throws; `ClusterError`, `ControllerError` or `ClientError` if the cluster does not start.
  public func run<R: Sendable>(_ body: @escaping @Sendable (Client) async throws -> R) async throws -> R {
    if placement == .threads, range != nil {
      throw ClusterError(.usage, "engines that are threads do not come and go", advice: "Engines that are processes do.")
    }
    if case .launcher(let options) = placement { return try await withLauncher(options, body) }
    let directory = try TemporaryProfile()
    defer { directory.remove() }
    var configuration = ControllerConfiguration(profileDirectory: directory.path)
    configuration.location = "127.0.0.1"
    return try await withController(configuration) { cluster, controller in try await cluster.serve(controller, directory, body) }
  }

  func withController<R: Sendable>(
    _ configuration: ControllerConfiguration, _ body: @escaping @Sendable (EmbeddedCluster, Controller) async throws -> R
  ) async throws -> R {
    var configuration = configuration
    // Nobody comes later to ask what was done, and keeping it costs a tenth of a small task.
    configuration.database = .none
    // Between the client and the controller nothing needs to go over the network.
    let inProcess = InProcess(context: try Context(), name: SessionID.random().text)
    configuration.inProcess = inProcess
    configureController(&configuration)
    let controller = try Controller(configuration, logger: logger)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      let (ready, isReady) = AsyncStream<Void>.makeStream()
      group.addTask {
        defer { isReady.finish() }
        try await controller.run { isReady.yield() }
      }
      var iterator = ready.makeAsyncIterator()
      guard await iterator.next() != nil else {
        try await group.waitForAll()
        throw ClusterError(.failure, "the controller ended before it was ready")
      }
      var cluster = self
      cluster.client.inProcess = inProcess
      let result = await Result.of { [cluster] in try await body(cluster, controller) }
      group.cancelAll()
      while (try? await group.next()) != nil {}
      return try result.get()
    }
  }

  private func serve<R: Sendable>(
    _ controller: Controller, _ directory: TemporaryProfile, _ body: @escaping @Sendable (Client) async throws -> R
  ) async throws -> R {
    switch placement {
    case .launcher: throw ClusterError(.failure, "engines of a launcher have a profile of their own")
    case .threads: try await withThreads(controller) { try await connect(controller, failure: nil, body) }
    case .processes where range != nil: try await withFollowingProcesses(controller, directory, body)
    case .processes:
      try await withProcesses(controller, directory) { failure in try await connect(controller, failure: failure, body) }
    }
  }

  func connect<R: Sendable>(
    _ controller: Controller, failure: (@Sendable () async -> ClusterError)?, _ body: (Client) async throws -> R
  ) async throws -> R {
    let engines = engines
    let timeout = startTimeout
    return try await Client.withClient(.connection(controller.clientConnection), configuration: client) { client in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await client.waitForEngines(engines, timeout: timeout) }
        if let failure { group.addTask { throw await failure() } }
        defer { group.cancelAll() }
        _ = try await group.next()
      }
      let result = await Result.of { try await body(client) }
      // A task that goes on is not waited for: what does not leave by itself is ended. In the place of engines that follow their work others
      // would come.
      if placement != .threads, range == nil { try? await client.shutdown() }
      return try result.get()
    }
  }

  // MARK: engines

  private func withThreads<R>(_ controller: Controller, _ body: () async throws -> R) async throws -> R {
    let running = (0..<engines).map { _ in
      var configuration = EngineConfiguration(connection: controller.engineConnection, uuid: EngineUUID(SessionID.random().text))
      // The end of a thread's engine must not be the end of the process.
      configuration.shutdownGrace = .seconds(86_400)
      configuration.maximumHeartbeatMisses = 0
      let engine = SwiftEngine(configuration)
      prepare(engine.kernel)
      return Task { try await engine.run() }
    }
    let result = await Result.of { try await body() }
    for engine in running { engine.cancel() }
    for engine in running { _ = try? await engine.value }
    return try result.get()
  }

  private func withProcesses<R>(
    _ controller: Controller, _ directory: TemporaryProfile,
    _ body: (@escaping @Sendable () async -> ClusterError) async throws -> R
  ) async throws -> R {
    let executable = try Self.executable()
    var processes: [EngineProcess] = []
    let path = controller.configuration.engineFilePath
    let started = Result { () throws -> Void in
      for number in 0..<engines {
        processes.append(
          try EngineProcess(executable: executable, connectionPath: path, log: "\(directory.path)/log/engine-\(number).log"))
      }
    }
    let all = processes
    let result: Result<R, any Error>
    switch started {
    case .failure(let error): result = .failure(error)
    case .success: result = await Result.of { try await body { await Self.firstEnd(of: all) } }
    }
    await withTaskGroup(of: Void.self) { group in for process in all { group.addTask { await process.end(within: .seconds(3)) } } }
    return try result.get()
  }

  /// While engines start, the end of one is the end of all.
  private static func firstEnd(of processes: [EngineProcess]) async -> ClusterError {
    await withTaskGroup(of: ClusterError.self) { group in
      for process in processes {
        group.addTask {
          let status = await process.ended()
          let words = process.lastWords
          return ClusterError(
            .failure, "an engine ended while it started: \(status)" + (words.isEmpty ? "" : ". It said:\n\(words)"),
            advice: "The program must be a ClusterProgram that calls nothing before main.")
        }
      }
      defer { group.cancelAll() }
      return await group.next() ?? ClusterError(.failure, "there are no engines")
    }
  }

  static func executable() throws(ClusterError) -> String {
    if let path = Path.thisProgram { return path }
    throw ClusterError(.failure, "the program does not know its own path (/proc/self/exe)")
  }
}

/// Starts a cluster in this program, runs the body with a client of it, and takes everything down again.
///
///     try await withCluster(engines: 4, placement: .threads) { client in … }
public func withCluster<R: Sendable>(
  engines: Int? = nil, placement: EmbeddedCluster.Placement = .processes, _ body: @escaping @Sendable (Client) async throws -> R
) async throws -> R { try await EmbeddedCluster(engines: engines, placement: placement).run(body) }

/// The same with a cluster that grows and shrinks with its work.
///
///     try await withCluster(engines: 1...8) { client in … }
public func withCluster<R: Sendable>(
  engines range: ClosedRange<Int>, placement: EmbeddedCluster.Placement = .processes,
  _ body: @escaping @Sendable (Client) async throws -> R
) async throws -> R { try await EmbeddedCluster(engines: range, placement: placement).run(body) }

extension Result where Failure == any Error {
  static func of(_ body: () async throws -> Success) async -> Result {
    do { return .success(try await body()) } catch { return .failure(error) }
  }
}
