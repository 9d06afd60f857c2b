public import Distributed
import Synchronization

/// The distributed actors of an engine: one of a type, made by its first call.
public final class ActorTable: Sendable {
  private struct Contents: Sendable {
    var actors: [String: any RemoteTask] = [:]
    /// Makers of actors that serve calls of another name: a protocol's.
    var hosted: [String: @Sendable (ClusterActorSystem) -> any RemoteTask] = [:]
  }

  private let contents = Mutex(Contents())
  let system = ClusterActorSystem()

  init() {}

  /// Serves calls of a `@Resolvable` protocol's stub by an actor that conforms to it, so that clients need not link the actor.
  /// - Parameters:
  ///   - type: the actor.
  ///   - stub: what the macro made of the protocol: `$Greeter`.
  public func host<Act: RemoteTask, Stub: DistributedActor>(_ type: Act.Type, as stub: Stub.Type)
  where Stub.ActorSystem == ClusterActorSystem {
    guard let name = TypeNames.name(of: stub) else { return }
    contents.withLock { $0.hosted[name] = { Act(actorSystem: $0) } }
  }

  func actor(_ typeName: String) throws(TaskError) -> any RemoteTask {
    let (found, maker) = contents.withLock { ($0.actors[typeName], $0.hosted[typeName]) }
    if let found { return found }
    let made: any RemoteTask
    if let maker { made = maker(system) } else { made = try make(typeName) }
    return contents.withLock { contents in
      if let other = contents.actors[typeName] { return other }
      contents.actors[typeName] = made
      return made
    }
  }

  private func make(_ typeName: String) throws(TaskError) -> any RemoteTask {
    guard let type = TypeNames.type(named: typeName) else {
      throw TaskError(
        .unknownTask, "this engine's program has no type \(typeName)",
        advice: "Start the engine from a program that links the target of the task.")
    }
    guard let task = type as? any RemoteTask.Type else {
      throw TaskError(
        .unknownTask, "\(type) is no RemoteTask", advice: "Let the actor conform to RemoteTask, or host it for its protocol.")
    }
    return task.init(actorSystem: system)
  }

  /// What actors stored is gone.
  func clear() { contents.withLock { $0.actors = [:] } }
}
