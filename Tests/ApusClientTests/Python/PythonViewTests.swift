import ApusMessaging
import Glibc
import TestSupport
import Testing

@testable import ApusClient

/// Python from Swift, with real Python engines.
@Suite(
  .serialized, .timeLimit(.minutes(2 * patience)),
  .enabled(if: PythonEngine.isAvailable, "needs python3 and the compiled core: swift build --product _core"))
struct PythonViewTests {
  struct Person: Codable, Hashable, Sendable {
    var name: String
    var age: Int
    var scores: [Double]
  }

  @Test func callsGiveSwiftValues() async throws {
    try await withPythonCluster { client in
      let python = client.loadBalancedView().python
      #expect(try await python.apply("math.sqrt", 2.0, as: Double.self) == 2.0.squareRoot())
      #expect(try await python.apply("len", "four", as: Int.self) == 4)
      #expect(try await python.apply("int", "ff", keywords: ["base": 16]) == 255)
      #expect(try await python.apply(source: "lambda a, b: a + b", 1, 2, as: Int.self) == 3)
      #expect(
        try await python.apply(source: "lambda *p, **k: [len(p), sorted(k)]", keywords: ["a": 1, "b": [1.5]], as: Mixed.self)
          == Mixed(0, ["a", "b"]))
      let ada = Person(name: "Ada", age: 36, scores: [1, 2])
      let source = """
        def older(person, by=1):
            person["age"] += by
            person["scores"] = [float(s) * 2 for s in person["scores"]]
            return person
        """
      let older = try await python.apply(source: source, ada, keywords: ["by": 5], as: Person.self)
      #expect(older == Person(name: "Ada", age: 41, scores: [2, 4]))
      #expect(try await python.apply(source: "lambda x: x", Int?.none, as: Int?.self) == nil)
      #expect(try await python.apply(source: "async def f(x): return -x", 7, as: Int.self) == -7)
      // A result that cannot travel does not have to.
      try await python.apply(source: "lambda: {1, 2}")
      let later = try await python.applyAsync("math.factorial", 20, as: Int.self)
      #expect(try await later.value == 2_432_902_008_176_640_000)
    }
  }

  /// An array of two types.
  struct Mixed: Decodable, Hashable, Sendable {
    let count: Int
    let names: [String]
    init(_ count: Int, _ names: [String]) { (self.count, self.names) = (count, names) }
    init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      count = try container.decode(Int.self)
      names = try container.decode([String].self)
    }
  }

  @Test func everyEngineAnswersInOrder() async throws {
    try await withPythonCluster(engines: 2) { client in
      do {
        let python = client.directView().python
        try await python.execute("import os")
        let pids = try await python.apply("os.getpid", as: Int.self)
        #expect(Set(pids).count == 2)
        #expect(try await client[1].python.apply("os.getpid", as: Int.self) == [pids[1]])
        try await python.push(["x": [1.0, 2.0, 3.0], "words": ["a"], "n": 3])
        #expect(try await python.pull("x", as: [Double].self) == [[1, 2, 3], [1, 2, 3]])
        #expect(try await python.pull("n", as: Int.self) == [3, 3])
        #expect(try await python.apply(source: "lambda k: sum(x) * n + k", 1, as: Double.self) == [19, 19])
      }
      let broadcast = client.broadcastView().python
      try await broadcast.push(["y": 5])
      #expect(try await broadcast.pull("y", as: Int.self) == [5, 5])
      #expect(try await broadcast.apply("abs", -2, as: Int.self) == [2, 2])
      let outputs = try await broadcast.execute("print(y)")
      #expect(outputs.map(\.stdout) == ["5\n", "5\n"])
      let refusal = await #expect(throws: ClientError.self) {
        try await client.broadcastView(isCoalescing: true).python.apply("abs", -2, as: Int.self)
      }
      #expect(refusal?.code == .invalidArgument)
      let missing = await #expect(throws: RemoteError.self) { try await broadcast.pull("nothing", as: Int.self) }
      #expect(missing?.description == "NameError: name 'nothing' is not defined")
    }
  }

  @Test func largeArraysAreBuffers() async throws {
    try await withPythonCluster(engines: 2) { client in
      let python = client.directView().python
      let large = (0..<1_000_000).map { Double($0) }
      try await python.push(["large": large])
      #expect(try await python.apply(source: "lambda: float(sum(large[:10]))", as: Double.self) == [45, 45])
      let kinds = try await python.apply(
        source: "lambda a: type(a).__name__", [UInt8](repeating: 1, count: 100_000), as: String.self)
      #expect(kinds == ["memoryview", "memoryview"])
      for copy in try await python.pull("large", as: [Double].self) { #expect(copy == large) }
      let bytes = try await client.loadBalancedView().python.apply(source: "lambda: b'x' * 200000", as: [UInt8].self)
      #expect(bytes == [UInt8](repeating: 120, count: 200_000))
    }
  }

  @Test func mapsKeepTheOrder() async throws {
    try await withPythonCluster(engines: 2) { client in
      let numbers = (0..<1000).map { Double($0) }
      let roots = numbers.map { $0.squareRoot() }
      let (balanced, direct) = (client.loadBalancedView().python, client.directView().python)
      for size in [nil, 1, 7, 5000] {
        let some = try await balanced.map("math.sqrt", over: numbers, chunkSize: size, as: Double.self)
        #expect(some == roots)
        let others = try await direct.map("math.sqrt", over: numbers, chunkSize: size, as: Double.self)
        #expect(others == roots)
      }
      let source = "lambda a, b, c: f'{a}{b}{c}'"
      let words: [String] = try await balanced.map(source: source, over: 1...3, ["x", "y", "z"], keywords: ["c": "!"])
      #expect(words == ["1x!", "2y!", "3z!"])
      let signs = try await direct.map(source: "lambda x: x > 0", over: [1, -1, 5], as: Bool.self)
      #expect(signs == [true, false, true])
      let none = try await balanced.map("abs", over: [Int](), as: Int.self) + direct.map("abs", over: [Int](), as: Int.self)
      #expect(none.isEmpty)
      let lengths = await #expect(throws: ClientError.self) { try await balanced.map("pow", over: [1, 2], [1], as: Int.self) }
      #expect(lengths?.reason == "the arrays of a map have different lengths: 2, 1")
      let error = await #expect(throws: RemoteError.self) {
        try await balanced.map("math.sqrt", over: [1.0, -1.0, 4.0], chunkSize: 1, as: Double.self)
      }
      #expect(error?.name == "ValueError")
    }
  }

  @Test func errorsSayWhatToDo() async throws {
    try await withPythonCluster { client in
      let python = client.loadBalancedView().python
      let remote = await #expect(throws: RemoteError.self) {
        try await python.apply(source: "def invert(x):\n  return 1 / x", 0, as: Double.self)
      }
      #expect(remote?.name == "ZeroDivisionError")
      #expect(remote?.traceback.joined(separator: "\n").contains("invert") == true)
      #expect(remote?.engine?.method == "apply")
      let kind = await #expect(throws: ClientError.self) { try await python.apply("math.sqrt", 2, as: Int.self) }
      #expect(kind?.code == .resultType)
      #expect(kind?.reason.hasPrefix("math.sqrt gave no Int: expected an integer, found a floating point number") == true)
      let inside = await #expect(throws: ClientError.self) {
        try await python.apply(source: "lambda: {'a': [1, 'two']}", as: [String: [Int]].self)
      }
      #expect(inside?.reason.contains("(at .a[1])") == true)
      let unsendable = await #expect(throws: ClientError.self) { try await python.apply("abs", Unsendable(), as: Int.self) }
      #expect(unsendable?.code == .invalidArgument)
      let untravelled = await #expect(throws: RemoteError.self) { try await python.apply("set", as: [Int].self) }
      #expect(untravelled?.value.contains("builtins.set") == true)
      let cell = await #expect(throws: RemoteError.self) { try await python.execute("1 / 0") }
      #expect(cell?.name == "ZeroDivisionError")
      let size = await #expect(throws: ClientError.self) { try await python.map("abs", over: [1], chunkSize: 0, as: Int.self) }
      #expect(size?.code == .invalidArgument)
    }
  }

  struct Unsendable: Encodable {
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      try container.encode(1)
      try container.encode(2)
    }
  }

  @Test func outputComesWhileACallRuns() async throws {
    try await withPythonCluster { client in
      let python = client.loadBalancedView().python
      let gate = "/tmp/apus-gate-\(getpid())"
      defer { unlink(gate) }
      let source = """
        def talk(gate):
          import os, time
          print('early', flush=True)
          while not os.path.exists(gate): time.sleep(0.01)
          print('late')
          return 1
        """
      let result = try await python.with { $0.awaitsOutput = true }.applyAsync(source: source, gate, as: Int.self)
      var texts = ""
      var wasEarly = false
      for await event in result.task.outputEvents {
        if case .stdout(let text) = event {
          if texts.isEmpty { wasEarly = result.status == .outstanding }
          // It goes on only when this has come.
          close(creat(gate, 0o600))
          texts += text
        }
      }
      #expect(texts == "early\nlate\n")
      #expect(wasEarly)
      #expect(try await result.value == 1)
      let cell = try await python.executeAsync("print('cell')\n40 + 2")
      let output = await cell.completeOutput()
      #expect(output.stdout == "cell\n")
      #expect(output.result?["text/plain"] == "42")
    }
  }

  @Test func cancellingFreesTheEngine() async throws {
    try await withPythonCluster { client in
      // Retries must not bring a cancelled task back.
      let python = client.loadBalancedView().with { $0.retries = 3 }.python
      let source = "def hang():\n  import time\n  print('running', flush=True)\n  time.sleep(600)"
      let call = try await python.with { $0.awaitsOutput = true }.applyAsync(source: source, as: Int?.self)
      var events = call.task.outputEvents.makeAsyncIterator()
      #expect(await events.next() == .stdout("running\n"))
      let waiting = Task { try await call.value }
      waiting.cancel()
      await #expect(throws: CancellationError.self) { try await waiting.value }
      let end = await #expect(throws: RemoteError.self) { try await call.value(within: .seconds(20)) }
      #expect(end?.name == "KeyboardInterrupt")
      #expect(try await python.applyAsync("abs", -3, as: Int.self).value(within: .seconds(20)) == 3)

      let cell = Task { try await client.directView().python.execute("import time; time.sleep(600)") }
      try await Task.sleep(for: .milliseconds(300))
      cell.cancel()
      await #expect(throws: CancellationError.self) { try await cell.value }
      #expect(try await python.applyAsync("abs", -3, as: Int.self).value(within: .seconds(20)) == 3)
    }
  }

  @Test func onlyPythonEnginesAreCalled() async throws {
    try await withPythonCluster(engines: 1, swift: 2) { client in
      let python = try #require(client.engines.first { $0.kind == .python })
      let other = try #require(client.engines.first { $0.kind == .swift })
      for _ in 0..<5 { #expect(try await client.loadBalancedView().python.apply("abs", -1, as: Int.self) == 1) }
      #expect(try await client.directView().python.apply("abs", -1, as: Int.self) == [1])
      #expect(try await client.broadcastView().python.apply("abs", -1, as: Int.self) == [1])
      #expect(try await client.directView(.slice(0)).python.apply("abs", -1, as: Int.self) == [1])
      let mapped = try await client.directView().python.map("abs", over: [-1, -2, -3], as: Int.self)
      #expect(mapped == [1, 2, 3])
      let chosen = try client.loadBalancedView().with { try $0.setTargets(.all) }
      #expect(try await chosen.python.apply("abs", -1, as: Int.self) == 1)
      func refused(_ code: ClientError.Code, _ call: () async throws -> Void) async {
        let error = await #expect(throws: ClientError.self) { try await call() }
        #expect(error?.code == code)
      }
      await refused(.invalidArgument) { try await client.directView(.engine(other.id)).python.apply("abs", -1) }
      await refused(.noEngines) { try await client.directView(.kind(.swift)).python.apply("abs", -1) }
      await refused(.noEngines) {
        try await client.loadBalancedView().with { try $0.setTargets(.kind(.swift)) }.python.apply("abs", -1)
      }
      let events = client.engineEvents
      try await client.shutdown(.engine(python.id))
      for await event in events { if event == .departed(python) { break } }
      await refused(.noEngines) { try await client.loadBalancedView().python.apply("abs", -1) }
      await refused(.noEngines) { try await client.directView().python.apply("abs", -1) }
    }
  }
}
