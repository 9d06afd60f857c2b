import ApusMessaging
public import Distributed
import Synchronization
import Transport

/// Carries calls of distributed actors to engines, and on an engine to its actors.
///
/// There is nothing to set up: proxies come from views, and engines make theirs. To use an actor in the own process, as a serial reference
/// for example, make it with a system of its own: `WordCounter(actorSystem: ClusterActorSystem())`.
public final class ClusterActorSystem: DistributedActorSystem, Sendable {
  public typealias ActorID = TaskActorID
  public typealias SerializationRequirement = any Codable
  public typealias InvocationEncoder = CallEncoder
  public typealias InvocationDecoder = CallDecoder
  public typealias ResultHandler = CallResultHandler

  private struct HeadKey: Hashable {
    let type: String
    let target: String
  }

  private let serial = Atomic<Int>(0)
  /// Heads of calls without generic parameters, by what they call: they are the same each time.
  private let heads = Mutex<[HeadKey: Frame]>([:])

  public init() {}

  // MARK: actors

  /// - Returns: `nil` where the runtime is to make a proxy.
  public func resolve<Act: DistributedActor>(id: TaskActorID, as type: Act.Type) throws -> Act? where Act.ID == TaskActorID { nil }

  public func assignID<Act: DistributedActor>(_ type: Act.Type) -> TaskActorID where Act.ID == TaskActorID {
    TaskActorID(
      typeName: TypeNames.name(of: type) ?? "\(type)", route: nil, serial: serial.wrappingAdd(1, ordering: .relaxed).newValue)
  }

  public func actorReady<Act: DistributedActor>(_ actor: Act) where Act.ID == TaskActorID {}
  public func resignID(_ id: TaskActorID) {}

  /// A proxy whose calls go this way.
  /// - Throws: `TaskError` for a type without a name that another process could find it by.
  public func proxy<Act: DistributedActor>(_ type: Act.Type, by route: CallRoute) throws -> Act
  where Act.ID == TaskActorID, Act.ActorSystem == ClusterActorSystem {
    guard let name = TypeNames.name(of: type) else {
      throw TaskError(.unnameable, "\(type) has no name that an engine could find it by", advice: "Declare it at the top level.")
    }
    return try Act.resolve(id: TaskActorID(typeName: name, route: route), using: self)
  }

  // MARK: calls

  public func makeInvocationEncoder() -> CallEncoder { CallEncoder() }

  public func remoteCall<Act, Err, Res>(
    on actor: Act, target: RemoteCallTarget, invocation: inout CallEncoder, throwing: Err.Type, returning: Res.Type
  ) async throws -> Res where Act: DistributedActor, Act.ID == TaskActorID, Err: Error, Res: Codable {
    let frames = try await call(actor.id, target, invocation)
    return try TaskValue.read(Res.self, from: frames, "the result of the call")
  }

  public func remoteCallVoid<Act, Err>(
    on actor: Act, target: RemoteCallTarget, invocation: inout CallEncoder, throwing: Err.Type
  ) async throws where Act: DistributedActor, Act.ID == TaskActorID, Err: Error {
    _ = try await call(actor.id, target, invocation)
  }

  private func call(_ id: TaskActorID, _ target: RemoteCallTarget, _ invocation: CallEncoder) async throws -> ArraySlice<Frame> {
    guard let route = id.route else {
      throw TaskError(.noRoute, "\(id.typeName) is no proxy of an engine's actor", advice: "Ask a view for one: view.actor(…).")
    }
    let call = EncodedCall(head: try head(id.typeName, target.identifier, invocation.generics), arguments: try invocation.frames())
    do { return try await route.call(call) } catch let error as RemoteError { throw error.thrownValue ?? error }
  }

  private func head(_ type: String, _ target: String, _ generics: [String]) throws -> Frame {
    if !generics.isEmpty { return try CallHead(actor: type, target: target, generics: generics).frame() }
    let key = HeadKey(type: type, target: target)
    if let head = heads.withLock({ $0[key] }) { return head }
    let head = try CallHead(actor: type, target: target).frame()
    heads.withLock { $0[key] = head }
    return head
  }
}
