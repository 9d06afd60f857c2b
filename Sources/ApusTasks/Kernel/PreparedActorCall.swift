import ApusMessaging
import Distributed
import Transport

/// A function of a distributed actor of this program.
struct PreparedActorCall: PreparedCall {
  let typeName: String
  let target: String
  let generics: [any Any.Type]

  init(_ head: CallHead) throws(TaskError) {
    guard let typeName = head.type, let target = head.target else {
      throw TaskError(.malformed, "the call of an actor lacks the actor or the function")
    }
    var generics: [any Any.Type] = []
    for name in head.generics ?? [] {
      guard let type = TypeNames.type(named: name) else {
        throw TaskError(.unknownTask, "this engine's program has no type \(name)", advice: "Link the target that declares it.")
      }
      generics.append(type)
    }
    // The runtime runs any function on any actor, whatever memory that touches: this is the only check there is.
    guard Self.belongs(target, to: typeName) else {
      throw TaskError(.wrongActor, "\(target) is no function of \(typeName)")
    }
    self.typeName = typeName
    self.target = target
    self.generics = generics
  }

  /// Whether a mangled function is declared by the type (or an extension of it): the one name then begins with the other.
  static func belongs(_ target: String, to typeName: String) -> Bool {
    guard target.utf8.starts(with: "$s".utf8), target.utf8.dropFirst(2).starts(with: typeName.utf8) else { return false }
    return !MangledName(target.utf8.dropFirst(2 + typeName.utf8.count)).beginsWithType
  }

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    let handler = CallResultHandler()
    let actor = try kernel.actors.actor(typeName)
    do { try await execute(on: actor, arguments, handler, kernel.actors.system) } catch let error as ExecuteDistributedTargetError {
      throw TaskError(
        .unknownTask, "this engine's program cannot run \(target): \(error)",
        advice: "Client and engine must link the same version of the target that declares it.")
    }
    return try handler.frames()
  }

  private func execute<Act: DistributedActor>(
    on actor: Act, _ arguments: [Frame], _ handler: CallResultHandler, _ system: ClusterActorSystem
  ) async throws where Act.ActorSystem == ClusterActorSystem {
    var decoder = CallDecoder(arguments, generics: generics)
    try await system.executeDistributedTarget(
      on: actor, target: RemoteCallTarget(target), invocationDecoder: &decoder, handler: handler)
  }
}
