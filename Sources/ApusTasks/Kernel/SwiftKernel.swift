public import ApusEngine
public import ApusMessaging
import ApusValues
import Synchronization
import Transport

/// Runs Swift tasks: functions of distributed actors, and closures of the very same program.
public final class SwiftKernel: Kernel {
  private struct Heads: Sendable { var calls: [Frame: any PreparedCall] = [:] }

  /// The actors of this engine; what they store lasts between calls.
  public let actors = ActorTable()
  /// What clients have pushed.
  public let namespace = Namespace()
  private let heads = Mutex(Heads())
  private let identity = Mutex(TaskContext.Identity())
  /// Heads that are remembered; a client has one for each function and closure that it calls.
  private static let limit = 1024

  public init() {}

  public var language: String { "swift" }

  /// To be said as soon as the engine has a number.
  public func didRegister(_ id: EngineID, uuid: EngineUUID) { identity.withLock { $0 = TaskContext.Identity(id: id, uuid: uuid) } }

  public func clear() {
    actors.clear()
    namespace.clear()
  }

  public func run(_ request: ShellRequest) async -> Shell.Outcome {
    let envelope = request.envelope
    guard let head = envelope.buffers.first, isOurs(envelope.metadataFrame) else {
      let error = TaskError(
        .unknownTask, "this engine runs Swift tasks (codec msgpack), and the task is in another form",
        advice: "Python tasks need a Python engine.")
      return failure(error, identity.withLock { $0 }, isMisplaced: true)
    }
    return await run(head: head, Array(envelope.buffers.dropFirst()), id: request.id)
  }

  func run(head: Frame, _ arguments: [Frame], id: MessageID) async -> Shell.Outcome {
    let identity = identity.withLock { $0 }
    let call: any PreparedCall
    do throws(TaskError) { call = try prepare(head) } catch {
      // Another engine may be the right one: the scheduler is told to look for it.
      return failure(error, identity, isMisplaced: error.code != .malformed)
    }
    do {
      let context = TaskContext(identity: identity, namespace: namespace, id: id)
      let frames = try await TaskContext.$current.withValue(context) { try await call.run(arguments, in: self) }
      return Shell.Outcome(type: .applyReply, succeeded: true, content: Self.ok, buffers: frames, codec: MessagePackCodec.name)
    } catch let error as TaskError {
      return failure(error, identity, isMisplaced: error.code == .unknownTask)
    } catch { return failure(error, identity) }
  }

  private static let ok = Frame("{\"status\":\"ok\"}")

  private func failure(_ error: any Error, _ identity: TaskContext.Identity, isMisplaced: Bool = false) -> Shell.Outcome {
    let engine = RemoteError.EngineInfo(uuid: identity.uuid, id: identity.id, method: "apply")
    if error is CancellationError {
      return .failure(RemoteError(name: "TaskAborted", value: "the task was cancelled while it ran", engine: engine))
    }
    if let error = error as? TaskError {
      return .failure(
        RemoteError(name: "TaskError", value: error.description, traceback: [error.description], engine: engine),
        isMisplaced: isMisplaced)
    }
    return .failure(RemoteError(thrown: error, engine: engine))
  }

  // MARK: heads

  private func prepare(_ head: Frame) throws(TaskError) -> any PreparedCall {
    if let call = heads.withLock({ $0.calls[head] }) { return call }
    let call = try read(head)
    heads.withLock { heads in
      if heads.calls.count >= Self.limit { heads.calls = [:] }
      heads.calls[head] = call
    }
    return call
  }

  private func isOurs(_ metadata: Frame) -> Bool {
    if metadata.isIdentical(to: MessagePackCodec.metadata) || metadata == MessagePackCodec.metadata { return true }
    return Envelope.string("codec", of: metadata) == MessagePackCodec.name
  }

  private func read(_ frame: Frame) throws(TaskError) -> any PreparedCall {
    let head: CallHead
    do { head = try MessagePackDecoder().decode(CallHead.self, from: [frame]) } catch {
      throw TaskError(.malformed, "the head of the call cannot be read: \(error)")
    }
    switch head.call {
    case "actor": return try PreparedActorCall(head)
    case "closure": return try PreparedClosure.make(head)
    case "push": return PushCall()
    case "pull": return PullCall(names: head.names ?? [])
    case "apply":
      throw TaskError(
        .unknownTask, "this engine runs Swift tasks, and the task names Python code", advice: "It needs a Python engine.")
    default: throw TaskError(.unknownTask, "this engine knows no calls of the kind “\(head.call)”")
    }
  }
}
