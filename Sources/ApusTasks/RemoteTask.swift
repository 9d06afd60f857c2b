public import Distributed

/// The actor system of every distributed actor in a program that imports Apus.
public typealias DefaultDistributedActorSystem = ClusterActorSystem

/// A distributed actor whose calls run on engines.
///
/// ```swift
/// distributed actor WordCounter: RemoteTask {
///   private var calls = 0
///   distributed func count(_ text: String) -> [String: Int] { calls += 1; … }
/// }
/// ```
///
/// A client makes no actor: it asks a view for a proxy (`view.actor(WordCounter.self)`), and the engine makes the actor when the first call
/// comes. There is one of a type on each engine, and what it stores lasts until the engine is cleared or ends. Arguments and results are
/// `Codable`; an error that is `Codable` comes back as itself, others as a `RemoteError`. Client and engine find each other's functions by
/// their mangled names: both must link the same target, built alike.
public protocol RemoteTask: DistributedActor where ActorSystem == ClusterActorSystem {
  /// What an engine makes the actor by. The compiler writes it for actors whose variables all have defaults.
  init(actorSystem: ClusterActorSystem)
}
