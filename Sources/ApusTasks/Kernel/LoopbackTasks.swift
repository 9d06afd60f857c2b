import ApusEngine
import ApusMessaging
public import Distributed
public import Transport

/// Swift tasks in the own process, by the same encoding and the same kernel as on an engine, without messages: for unit tests of tasks, and to
/// measure what a call costs.
public final class LoopbackTasks: Sendable {
  public let kernel = SwiftKernel()

  public init() {}

  /// A proxy whose calls are encoded, decoded and run here.
  public func actor<Act: DistributedActor>(_ type: Act.Type = Act.self) throws -> Act where Act.ActorSystem == ClusterActorSystem {
    try kernel.actors.system.proxy(type, by: route)
  }

  /// Runs an encoded call.
  /// - Returns: the frames of the result.
  /// - Throws: what an engine would answer, as `RemoteError`.
  public func run(_ call: EncodedCall) async throws -> ArraySlice<Frame> {
    let outcome = await kernel.run(head: call.head, call.arguments, id: "")
    if outcome.succeeded { return outcome.buffers[...] }
    let content = (try? outcome.content.json())?.objectValue ?? JSONObject()
    guard var error = RemoteError(content) else { throw TaskError(.malformed, "the outcome of a task is no error and no result") }
    error.thrown?.frames = outcome.buffers
    throw error
  }

  private var route: CallRoute { CallRoute(name: "this process") { [self] call in try await run(call) } }
}
