public import ApusMessaging
import Glibc
public import Logging
import Synchronization
import Transport

/// A connection to a cluster: its engines, views to run tasks on them, and queries of its hub.
///
/// ```swift
/// let client = try await Client.connect()
/// try await client.waitForEngines(4, timeout: .seconds(30))
/// let task = try await client.loadBalancedView().submit(submission)
/// let reply = try await task.reply
/// await client.close()
/// ```
///
/// It speaks ipyparallel's wire protocol over seven sockets that live on a thread of its own; nothing here blocks the caller's executor.
/// A client that is dropped closes.
public final class Client: Sendable {
  public let configuration: ClientConfiguration
  /// What the client connected by.
  public let connectionFile: ConnectionFile

  let loop: EventLoop
  let connection: ClientConnection
  let queue: SubmissionQueue
  let roster: EngineRoster
  /// Whether the loop has been told to end: it would never answer again.
  private let isClosed = Atomic(false)

  init(_ file: ConnectionFile, configuration: ClientConfiguration, logger: Logger) throws(ClientError) {
    self.configuration = configuration
    connectionFile = file
    if !file.ssh.isEmpty {
      throw ClientError(
        .connectionFile, "the connection file asks for an SSH tunnel by way of \(file.ssh), which this client does not make",
        advice: "Open the tunnel yourself (ssh -L), and clear the key \"ssh\" in a copy of the file.")
    }
    loop = EventLoop(name: "client", looksBeforeSleeping: true)
    let ids = RequestIDs(session: .random(), processID: getpid())
    queue = SubmissionQueue(ids: ids, limit: configuration.maximumInFlight, loop: loop)
    roster = EngineRoster(listener: configuration.listener)
    let context: Context
    do throws(ZeroMQError) {
      if let inProcess = configuration.inProcess {
        context = inProcess.context
      } else {
        context = try Context(ioThreads: configuration.ioThreads)
      }
    } catch {
      throw ClientError(.messaging, "libzmq cannot start: \(error)")
    }
    let wire = try ClientSockets.connect(
      file, in: context, ids: ids, queue: queue, roster: roster, configuration: configuration, logger: logger)
    connection = ClientConnection(
      loop: loop,
      state: ClientState(
        outputGrace: configuration.outputGrace, controllerGrace: configuration.controllerGrace,
        restartGrace: configuration.restartGrace),
      wire: wire,
      queue: queue, roster: roster)
    queue.onPosts { [weak connection] in connection?.assumeIsolated { $0.readPosts() } }
  }

  /// Connects to a controller, and waits until it has told its engines.
  /// - Parameters:
  ///   - source: by default what the environment says, else the default profile.
  ///   - logger: quiet unless something is wrong.
  /// - Throws: `noCluster`, `connectionFile`, `controllerNotFound` or `controllerSilent`, each with what to do.
  public static func connect(
    _ source: ConnectionSource = .environment, configuration: ClientConfiguration = ClientConfiguration(),
    logger: Logger = Logger(label: "apus.client")
  ) async throws -> Client {
    let client = try Client(source.connectionFile(), configuration: configuration, logger: logger)
    client.loop.start()
    await client.connection.start()
    do {
      let queue = client.queue
      let isKnown = try await client.roster.wait(for: 0) { queue.schedule(after: configuration.connectTimeout, $0) }
      if isKnown { return client }
      throw client.silence(isHubReachable: await client.connection.isHubReachable)
    } catch {
      await client.close()
      throw error
    }
  }

  /// Why no answer came.
  func silence(isHubReachable: Bool) -> ClientError {
    let host = ControllerAddress.resolve(host: connectionFile.host, location: connectionFile.location)
    let endpoint = connectionFile.endpoint(port: connectionFile.registration, host: host)
    if isHubReachable {
      return ClientError(
        .controllerSilent, "what listens at \(endpoint) did not answer in \(configuration.connectTimeout)",
        advice:
          "The connection file is probably of an earlier cluster, whose key is another one: use the file of the cluster that runs now."
      )
    }
    return ClientError(
      .controllerNotFound, "no controller could be reached at \(endpoint) in \(configuration.connectTimeout)",
      advice: "The connection file is probably stale: see whether its cluster still runs (apus list), or start one (apus start).")
  }

  /// Connects, runs the body, and closes whatever comes of it.
  public static func withClient<R>(
    _ source: ConnectionSource = .environment, configuration: ClientConfiguration = ClientConfiguration(),
    logger: Logger = Logger(label: "apus.client"), _ body: (Client) async throws -> R
  ) async throws -> R {
    let client = try await connect(source, configuration: configuration, logger: logger)
    do {
      let result = try await body(client)
      await client.close()
      return result
    } catch {
      await client.close()
      throw error
    }
  }

  /// Lets go of the controller. What is under way fails with `ClientError.Code.closed` here, and goes on there.
  public func close() async {
    guard !isClosed.exchange(true, ordering: .relaxed) else { return }
    await connection.close(ClientError(.closed, "the client was closed"))
    loop.stop()
  }

  /// As `close`, without waiting for it.
  func closeNow() {
    guard !isClosed.exchange(true, ordering: .relaxed) else { return }
    // The closure holds the connection until it has let go of its sockets, on their own thread.
    loop.execute { [connection] in connection.assumeIsolated { $0.close(ClientError(.closed, "the client was closed")) } }
    loop.stop()
  }

  deinit {
    // A loop that has ended would keep what it is given.
    closeNow()
  }

  // MARK: engines

  /// Ids of the engines that are registered now, ascending.
  public var ids: [EngineID] { roster.engines.map(\.id) }
  /// The engines that are registered now, by id.
  public var engines: [RegisteredEngine] { roster.engines }
  /// Engines that are there, as arrivals, then arrivals and departures as they happen; ends with the client.
  public var engineEvents: AsyncStream<EngineEvent> { roster.events() }

  /// Waits until at least so many engines are registered.
  /// - Throws: `ClientError.Code.timeout` with how many there are.
  public func waitForEngines(_ count: Int = 1, timeout: Duration = .seconds(60)) async throws {
    if try await roster.wait(for: count, timer: { queue.schedule(after: timeout, $0) }) { return }
    throw ClientError(
      .timeout, "after \(timeout) there are \(ids.count) engines, and \(count) were waited for",
      advice: "See the engines' logs, or start more (apus engine).")
  }

  /// Tasks sent and not yet answered, and the bytes of their messages.
  public var inFlight: (tasks: Int, bytes: Int) { queue.inFlight }
}
