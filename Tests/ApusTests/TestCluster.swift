import Apus
import ApusController
import Glibc

/// Runs the body with a cluster whose engines are threads of this process.
func withThreads(
  _ engines: Int = 2, _ configure: (inout EmbeddedCluster) -> Void = { _ in },
  _ body: @escaping @Sendable (Client) async throws -> Void
) async throws {
  var cluster = EmbeddedCluster(engines: engines, placement: .threads)
  configure(&cluster)
  try await cluster.run(body)
}

struct Point: Codable, Sendable, Comparable, Hashable {
  var x = 0.0
  var y = 0.0
  static func < (a: Point, b: Point) -> Bool { (a.x, a.y) < (b.x, b.y) }
}

/// A value without anything in it.
struct Nothing: Codable, Sendable, Equatable {}

/// An error that can travel.
struct BadInput: Error, Codable, Equatable { var why: String }
/// One that cannot.
enum Plain: Error { case oops }

distributed actor Tool: RemoteTask {
  private var calls = 0
  private var kept: [Double] = []

  distributed func square(_ x: Int) -> Int { x * x }
  distributed func count() -> Int {
    calls += 1
    return calls
  }
  distributed func nothing() { calls += 1 }
  distributed func keep(_ numbers: [Double]) { kept = numbers }
  distributed func sum() -> Double { kept.reduce(0, +) }
  distributed func doubled(_ numbers: [Double]) -> [Double] { numbers.map { 2 * $0 } }
  distributed func largest<T: Codable & Comparable & Sendable>(_ values: [T]) -> T? { values.max() }
  distributed func after(_ nothing: Nothing, _ number: Int) -> Int { number }
  distributed func last<T: Codable & Sendable>(_ other: T, _ nothing: Nothing, _ number: Int) -> Int { number }
  distributed func fail(_ why: String) throws -> Int { throw BadInput(why: why) }
  distributed func failPlainly() throws { throw Plain.oops }
  distributed func engine() -> Int { TaskContext.current?.engine.number ?? -1 }
  distributed func sleep(_ seconds: Double) async throws -> Bool {
    try await Task.sleep(for: .seconds(seconds))
    return true
  }
}

/// Another actor, whose functions are not `Tool`'s.
distributed actor Other: RemoteTask {
  private let text = "untouched"
  distributed func say() -> String { text }
}

@Resolvable
protocol Greeter: DistributedActor where ActorSystem == ClusterActorSystem {
  distributed func greet(_ name: String) -> String
  distributed func add(_ a: Int, _ b: Int) throws -> Int
}

distributed actor Host: RemoteTask, Greeter {
  distributed func greet(_ name: String) -> String { "hello \(name)" }
  distributed func add(_ a: Int, _ b: Int) throws -> Int { a + b }
}

/// An actor of this process. (Made here and not in the file that uses it, where this compiler mistakes the initialiser for a nonisolated one.)
func localTool() -> Tool { Tool(actorSystem: ClusterActorSystem()) }
