import Apus
import Glibc

/// A value that cannot be written.
struct Stubborn: Codable, Sendable, CustomStringConvertible {
  var number = 1
  init() {}
  init(from decoder: any Decoder) throws {}
  func encode(to encoder: any Encoder) throws { throw Mistake(why: "a stubborn value") }
  var description: String { "stubborn" }
}

/// A value that can be written, and not read.
struct OneWay: Codable, Sendable {
  var number = 1
  init() {}
  init(from decoder: any Decoder) throws { throw Mistake(why: "there is no way back") }
  func encode(to encoder: any Encoder) throws { try 1.encode(to: encoder) }
}

/// A value without anything in it.
struct Nothing: Codable, Sendable {}

distributed actor Taker: RemoteTask {
  distributed func after(_ nothing: Nothing, _ number: Int) -> Int { number }
  distributed func take(_ value: Stubborn) -> Int { 1 }
  distributed func give() -> Stubborn { Stubborn() }
  distributed func read(_ value: OneWay) -> Int { 1 }
  distributed func one() -> Int { 1 }
}

/// What a caller can do wrong, on an engine of this very program.
enum WrongInput {
  static func run(_ client: Client) async {
    let view = client.loadBalancedView()
    await step("unknown engine") { try await client[99].apply { 1 } }
    await step("unknown engine of a proxy") { try await client[99].actor(Taker.self).one() }
    await step("unknown target") { try view.with { try $0.setTargets(.engine(99)) } }
    await step("empty selection") { try await client.directView(.slice(50)).apply { 1 } }
    await step("twice the same engine") { try await client.directView(.engines([EngineID(0), EngineID(0)])).apply { 1 } }
    await step("unwritable argument") { try await view.apply(Stubborn()) { _ in 1 } }
    await step("unwritable item") { try await view.map([Stubborn()]) { _ in 1 } }
    await step("unwritable shared value") { try await view.map([1], with: Stubborn()) { $1 } }
    await step("unwritable result") { try await view.apply { Stubborn() } }
    await step("unwritable result of a map") { try await view.map([1]) { _ in Stubborn() } }
    await step("unreadable argument") { try await view.apply(OneWay()) { _ in 1 } }
    await step("unreadable result") { try await view.apply { OneWay() } }
    await step("unwritable push") { try await client.directView().push("s", Stubborn()) }
    await step("pull of another type") {
      try await client.directView().push("n", "text")
      return try await client.directView().pull("n", as: Int.self)
    }
    await step("pull of nothing") { try await client.directView().pull("missing", as: Int.self) }
    await step("actor's argument") { try await view.actor(Taker.self).take(Stubborn()) }
    await step("actor's result") { try await view.actor(Taker.self).give() }
    await step("actor's unreadable argument") { try await view.actor(Taker.self).read(OneWay()) }
    await step("an empty argument") { try await view.actor(Taker.self).after(Nothing(), 7) }
    let captured = Int(getpid())
    await step("captures") { try await view.apply { captured } }
    await step("function of a library") { try await view.map([1.0], sin) }
    await step("Python without an engine for it") { try await view.python.apply("abs", -1, as: Int.self) }
    await step("Python cell without an engine for it") { try await client.directView().python.execute("1") }
    await step("coalescing") { try await client.broadcastView(isCoalescing: true).apply { 1 } }
    await step("cell on a Swift engine") { try await client.directView().execute("1").replies.count }
    await step("afterwards") { try await view.map(0..<10) { $0 * $0 }.reduce(0, +) }
  }

  /// The engines run another program.
  static func foreign(_ client: Client) async {
    let view = client.loadBalancedView()
    await step("actor") { try await view.actor(Taker.self).one() }
    await step("actor, direct") { try await client[client.ids[0].number].actor(Taker.self).one() }
    await step("map over an actor") { try await view.map([1, 2], on: Taker.self) { actor, _ in try await actor.one() } }
    await step("closure") { try await view.apply { 1 } }
    await step("closure, direct") { try await client.directView().apply { 1 } }
    await step("map") { try await view.map(0..<10) { $0 * $0 } }
    await step("broadcast") { try await client.broadcastView().apply { 1 } }
    await step("push and pull") {
      try await client.directView().push("n", [1.5, 2])
      return try await client.directView().pull("n", as: [Double].self)
    }
  }
}
