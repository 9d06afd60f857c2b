import Apus
import Glibc

/// Python and Swift engines under one controller.
enum Mixed {
  static func run(_ client: Client) async {
    let view = client.loadBalancedView()
    func count(_ kind: EngineKind) -> Int { client.engines.count { $0.kind == kind } }
    await step("kinds") { [count(.python), count(.swift)] }
    let swift = client.engines.first { $0.kind == .swift }?.id.number ?? -1
    let python = client.engines.first { $0.kind == .python }?.id.number ?? -1
    await step("Swift engines") { try await client.directView().apply { Int(getpid()) }.sorted() }
    await step("Python engines") { try await client.directView().python.apply("os.getpid", as: Int.self).sorted() }
    await step("balanced Swift") { Set(try await view.map(0..<60, chunk: .items(1)) { _ in Int(getpid()) }).sorted() }
    await step("balanced Python") {
      var found: Set<Int> = []
      for _ in 0..<30 { found.insert(try await view.python.apply("os.getpid", as: Int.self)) }
      return found.sorted()
    }
    await step("Python map") {
      try await view.python.map(source: "lambda x: x * x", over: Array(0..<100), as: Int.self).reduce(0, +)
    }
    await step("Python cell") { try await view.python.execute("print(6 * 7)").stdout }
    await step("broadcast Swift") { try await client.broadcastView().apply { 1 } }
    await step("broadcast Python") { try await client.broadcastView().python.apply("abs", -1, as: Int.self) }
    await step("push to all Swift") {
      try await client.directView().push("n", 5)
      return try await client.directView().pull("n", as: Int.self)
    }
    await step("push to all Python") {
      try await client.directView().python.push(["n": 6])
      return try await client.directView().python.pull("n", as: Int.self)
    }
    await step("Swift on a Python engine") { try await client[python].apply { 1 } }
    await step("Swift with a Python target") { try await view.with { try $0.setTargets(.engine(python)) }.apply { 1 } }
    await step("Python on a Swift engine") { try await client[swift].python.apply("abs", -1, as: Int.self) }
    await step("Python with a Swift target") {
      try await view.with { try $0.setTargets(.engine(swift)) }.python.apply("abs", -1, as: Int.self)
    }
    await step("afterwards") { try await view.map(0..<10) { $0 * $0 }.reduce(0, +) }
  }
}
