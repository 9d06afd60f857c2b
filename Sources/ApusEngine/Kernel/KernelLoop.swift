public import ApusMessaging
import Glibc
import Transport

/// An engine whose kernel is Swift: registers, then runs requests one after another on the calling thread, until it is stopped.
public final class KernelLoop: Sendable {
  private struct Running: Sendable {
    var id: MessageID
    var task: Task<Void, Never>
  }
  private struct State: Sendable {
    var engine: Engine?
    var running: Running?
    var isStopped: Int32?
  }

  private let configuration: EngineConfiguration
  private let kernel: any Kernel
  private let capture: OutputCapture?
  private let executor = KernelExecutor()
  private let state = Mutex(State())

  /// - Parameter capture: where the text comes from that tasks print; `nil` leaves the process's streams alone.
  public init(_ configuration: EngineConfiguration, kernel: any Kernel, capture: OutputCapture? = nil) {
    self.configuration = configuration
    self.kernel = kernel
    self.capture = capture
  }

  /// Asks the engine to end with this code. From any thread, at any time.
  public func stop(code: Int32 = 0) {
    let engine = state.withLock { state in
      state.isStopped = code
      return state.engine
    }
    engine?.stop(code: code)
  }

  /// Cancels the Swift task of the request that runs now, as an interrupt does.
  public func interrupt() { cancel(nil) }

  /// - Parameter onRegistered: called once with the engine's number.
  /// - Returns: the exit code.
  public func run(onRegistered: (EngineID) -> Void = { _ in }) throws -> Int32 {
    let engine = try Engine(configuration)
    let shell = Shell(engine: engine)
    engine.whenTaskIsCancelled { [weak self] id in self?.cancel(id) }
    if let code = state.withLock({ state in
      state.engine = engine
      return state.isStopped
    }) {
      return code
    }
    engine.start()
    defer { state.withLock { $0.engine = nil } }
    do {
      var id: EngineID?
      while id == nil { id = try shell.waitForRegistration() }
      if let id { onRegistered(id) }
    } catch {
      shell.close()
      engine.finish()
      throw error
    }
    capture?.start { [weak engine] text, stream in engine?.write(text, to: stream) }
    engine.kernelIsReady()
    while true {
      switch shell.next(milliseconds: -1) {
      case .request(let request): answer(request, shell: shell)
      case .interrupted, .timedOut: continue
      case .stopped(let code):
        capture?.stop()
        shell.close()
        engine.finish()
        return code
      }
    }
  }

  private func answer(_ request: ShellRequest, shell: Shell) {
    switch request.type {
    case .applyRequest:
      let kernel = kernel
      let id = request.id
      let outcome = executor.run({ await kernel.run(request) }, started: { task in began(id, task) })
      state.withLock { $0.running = nil }
      capture?.drain()
      shell.reply(outcome ?? .failure(RemoteError(name: "KernelError", value: "the task ended without a result")))
    case .clearRequest:
      kernel.clear()
      shell.reply(Shell.Outcome(type: request.type.reply, succeeded: true, content: Frame(["status": "ok"])))
    case "kernel_info_request":
      shell.reply(Shell.Outcome(type: request.type.reply, succeeded: true, content: Frame(kernelInfo)))
    default:
      let error = RemoteError(
        name: "NotImplementedError", value: "this engine runs \(kernel.language) tasks, and does not know \(request.type)",
        traceback: ["Choose engines of another kind for it."])
      var content = error.content.objectValue ?? JSONObject()
      if request.type == .executeRequest { content["execution_count"] = 0 }
      shell.reply(
        Shell.Outcome(
          type: request.type.reply, succeeded: false, content: Frame(.object(content)), errorName: error.name, isRefusal: true))
    }
  }

  private var kernelInfo: JSONValue {
    [
      "status": "ok", "protocol_version": .string(Header.protocolVersion), "implementation": "apus",
      "implementation_version": "", "banner": "", "help_links": [], "language_info": ["name": .string(kernel.language)],
    ]
  }

  // MARK: cancelling

  private func began(_ id: MessageID, _ task: Task<Void, Never>) {
    let isCancelled = state.withLock { state in
      state.running = Running(id: id, task: task)
      return state.isStopped != nil
    }
    if isCancelled { task.cancel() }
  }

  /// - Parameter id: the request that is meant; `nil` is whichever runs. Another one is left alone.
  private func cancel(_ id: MessageID?) {
    let task = state.withLock { state in id == nil || state.running?.id == id ? state.running?.task : nil }
    task?.cancel()
  }
}
