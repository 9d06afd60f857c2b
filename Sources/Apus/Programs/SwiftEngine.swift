import ApusProcess
public import ApusEngine
public import ApusMessaging
public import ApusTasks

/// An engine whose tasks are this program's own Swift code, on a thread of its own.
///
/// ```swift
/// let engine = SwiftEngine(EngineConfiguration(connection: file, uuid: .random()))
/// try await engine.run()
/// ```
///
/// `ClusterProgram` does this for `engine` on the command line; use it directly to serve a cluster from a program of your own.
public final class SwiftEngine: Sendable {
  /// The engine's kernel: its actors and namespace.
  public let kernel: SwiftKernel
  public let configuration: EngineConfiguration
  private let loop: KernelLoop

  /// Bytes of the kernel's thread: as much as the first thread of a process usually has, so that tasks may recurse as they would in it.
  private static let stackSize = 16 << 20

  /// - Parameter capture: where tasks' printed text comes from; `nil` leaves the process's streams alone.
  public init(_ configuration: EngineConfiguration, kernel: SwiftKernel = SwiftKernel(), capture: OutputCapture? = nil) {
    var configuration = configuration
    configuration.kind = .swift
    self.configuration = configuration
    self.kernel = kernel
    loop = KernelLoop(configuration, kernel: kernel, capture: capture)
  }

  /// Registers, and runs tasks until the engine is stopped. Cancelling the Swift task stops it.
  /// - Returns: the exit code: 0 if it was asked to end.
  /// - Throws: `EngineError` if the controller does not take it.
  @discardableResult
  public func run(onRegistered: @escaping @Sendable (EngineID) -> Void = { _ in }) async throws -> Int32 {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in start(onRegistered) { continuation.resume(with: $0) } }
    } onCancel: {
      loop.stop()
      loop.interrupt()
    }
  }

  /// Asks the engine to end. A task that runs is cancelled, and has `shutdownGrace` to end.
  public func stop(code: Int32 = 0) {
    loop.stop(code: code)
    loop.interrupt()
  }

  /// Cancels the task that runs.
  public func interrupt() { loop.interrupt() }

  private func start(
    _ onRegistered: @escaping @Sendable (EngineID) -> Void, _ onEnd: @escaping @Sendable (Result<Int32, any Error>) -> Void
  ) {
    let refusal = DetachedThread.start(stackSize: Self.stackSize) { [self] in
      onEnd(
        Result {
          try loop.run { id in
            kernel.didRegister(id, uuid: configuration.uuid)
            onRegistered(id)
          }
        })
    }
    if let refusal { onEnd(.failure(EngineError(.badConnection, "the system refused a thread: \(refusal)"))) }
  }
}
