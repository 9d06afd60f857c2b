import Apus
import Testing

/// The code of the catalogue of Sources/Apus, a function for each block: the lines of a block stand here as they stand there
/// (Tests/python/test_documentation.py looks), and what is beside them tests what they promise.
enum Snippets {
  // MARK: Tasks

  static func closures(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let squares = try await view.map(0..<32) { $0 * $0 }
    let root = try await view.apply(2.0) { $0.squareRoot() }
    let engines = try await client.directView().apply { TaskContext.current?.engine.number ?? -1 }
    #expect(squares == (0..<32).map { $0 * $0 })
    #expect(root == 2.0.squareRoot())
    #expect(engines == [0, 1])
  }

  static func sharedValue(_ client: Client) async throws {
    let readings = [1.0, 2.5, 4.0]
    let settings = Settings(scale: 1.8, offset: 32)
    let scaled = try await client.loadBalancedView().map(readings, with: settings) { settings, reading in
      settings.scale * reading + settings.offset
    }
    #expect(scaled == [33.8, 36.5, 39.2])
  }

  static func functionInBraces(_ client: Client) async throws {
    let cubes = try await client.directView().map(0..<8) { cube($0) }
    #expect(cubes == (0..<8).map { cube($0) })
  }

  static func refusedCapture(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let factor = Int.random(in: 2...9)
    do {
      print(try await view.map(0..<8) { $0 * factor })
      Issue.record("a capture was sent")
    } catch let error as TaskError where error.code == .captures {
      print(try await view.map(0..<8, with: factor) { $0 * $1 })
    }
  }

  static func actors(_ client: Client) async throws {
    let texts = ["the quick fox", "the lazy dog"]
    let counts = try await client.loadBalancedView().map(texts, on: WordCounter.self) { try await $0.count($1) }
    let totals = try await client.directView().onAll(WordCounter.self) { try await $0.wordsSoFar() }
    #expect(counts == [["the": 1, "quick": 1, "fox": 1], ["the": 1, "lazy": 1, "dog": 1]])
    #expect(totals.reduce(0, +) == 6)
  }

  static func proxies(_ client: Client) async throws {
    let anywhere = try client.loadBalancedView().actor(WordCounter.self)
    let onFirst = try client[0].actor(WordCounter.self)
    let everywhere = try client.directView().actors(WordCounter.self)
    #expect(everywhere.count == client.ids.count)
    _ = (anywhere, onFirst)
    let before = try await onFirst.wordsSoFar()
    _ = try await onFirst.count("two words")
    #expect(try await onFirst.wordsSoFar() == before + 2)
  }

  static func thrownValue(_ client: Client) async throws {
    let reader = try client.loadBalancedView().actor(LineReader.self)
    do {
      print(try await reader.numbers(in: ["1.5", "x"]))
      Issue.record("the second line was read")
    } catch let error as BadLine {
      print("line \(error.number) is no number")
      #expect(error.number == 2)
    }
    #expect(try await reader.last(of: ["a", "b"]) == "b")
  }

  static func resolvable(_ client: Client) async throws {
    let thermometer = try client.loadBalancedView().actor($Thermometer.self)
    #expect(try await thermometer.celsius(in: "kitchen") == 27)
  }

  static func pushed(_ client: Client) async throws {
    let view = client.directView()
    try await view.push("limit", 10)
    let counts = try await view.apply {
      let limit: Int = try TaskContext.value("limit")
      return (0..<100).count { $0 < limit }
    }
    #expect(counts == [10, 10])
  }

  static func scattered(_ client: Client) async throws {
    let view = client.directView()
    let numbers = (0..<100_000).map { Double($0) }
    try await view.scatter("numbers", numbers)
    let sums = try await view.apply {
      let part: [Double] = try TaskContext.value("numbers")
      let halves = part.map { $0 / 2 }
      try TaskContext.current?.namespace.set("halves", to: halves)
      return halves.reduce(0, +)
    }
    let halves: [Double] = try await view.gather("halves")
    #expect(halves == numbers.map { $0 / 2 })
    #expect(sums.reduce(0, +) == halves.reduce(0, +))
  }

  static func loopback() async throws {
    let tasks = LoopbackTasks()
    let counter = try tasks.actor(WordCounter.self)
    let counts = try await counter.count("a b a")
    #expect(counts == ["a": 2, "b": 1])
  }

  // MARK: Views

  static func directViews(_ client: Client) async throws {
    let all = client.directView()
    let one = client[0]
    let everySecond = client.directView(.slice(0, step: 2))
    let swift = client.directView(.kind(.swift))
    let those = try all.frozen()
    #expect(try [one, everySecond, swift, those].map { try $0.engines.count } == [1, 1, 2, 2])
  }

  static func balancedSettings(_ client: Client) async throws {
    let view = try client.loadBalancedView().with {
      $0.retries = 2
      $0.timeout = .seconds(30)
      $0.label = "nightly"
      try $0.setTargets(.engine(0))
    }
    let engine = try await view.apply { TaskContext.current?.engine.number ?? -1 }
    #expect(engine == 0)
  }

  static func dependencies(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let lines = try await view.applyAsync("a\nb\nc") { text in text.split(separator: "\n").map { String($0) } }
    let report = try await view.after([lines.task]).applyAsync("report") { name in "\(name) follows" }
    print(try await lines.value, try await report.value)
    let beside = try await view.following([lines.task]).apply { TaskContext.current?.engineUUID.text ?? "" }
    #expect(try await lines.task.reply.engine?.text == beside)
  }

  static func broadcast(_ client: Client) async throws {
    let table = (0..<1_000_000).map { Double($0) }
    let view = client.broadcastView()
    try await view.push("table", table)
    let sizes = try await view.apply { try TaskContext.value("table", as: [Double].self).count }
    #expect(sizes == [1_000_000, 1_000_000])
  }

  static func chunks(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let seeds: [UInt64] = [1, 2, 3]
    let slow = try await view.map(seeds, chunk: .items(1), progress: .bar("seeds")) { $0 &* 0x9E37_79B9 }
    #expect(slow.count == 3)
  }

  static func asyncMap(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let map = try await view.mapAsync(0..<1000) { $0 * 2 }
    for try await even in map {
      if even % 500 == 0 { print(even, map.progress.done) }
    }
    let evens = try await map.value
    #expect(evens == (0..<1000).map { $0 * 2 })
  }

  static func endless(_ client: Client) async throws {
    let view = client.loadBalancedView()
    var found = 0
    for try await number in try view.results(of: 1..., chunk: .items(100), isOrdered: false, ahead: 50, { $0 % 97 == 0 ? $0 : 0 }) {
      if number > 0 { found += 1 }
      if found == 10 { break }
    }
    #expect(found == 10)
  }

  static func arriving(_ client: Client, _ lines: AsyncStream<String>) async throws {
    let view = client.loadBalancedView()
    for try await length in try view.results(arriving: lines, { $0.utf8.count }) {
      print(length)
      #expect(length == 5)
    }
  }

  static func outcomes(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let texts = ["1", "2", "three"]
    var bad: [Int] = []
    let results = try view.results(of: texts, chunk: .items(1)) { text in
      guard let number = Double(text) else { throw BadLine(number: 0) }
      return number
    }
    for try await outcome in results.outcomes {
      switch outcome.result {
      case .success(let number): print(outcome.index, number)
      case .failure: bad.append(outcome.index)
      }
    }
    #expect(bad == [2])
  }

  static func cancellation(_ client: Client) async throws {
    let view = client.loadBalancedView()
    let work = Task {
      try await view.map(0..<1000, chunk: .items(1)) { item in
        try await Task.sleep(for: .seconds(60))
        return item
      }
    }
    work.cancel()
    await #expect(throws: (any Error).self) { try await work.value }
    let task = try await view.applyAsync { 42 }
    do { print(try await task.value(within: .seconds(5))) } catch let error as ClientError where error.code == .timeout {
      task.cancel()
    }
  }

  // MARK: Python

  static func python(_ client: Client) async throws {
    let python = client.directView().python
    try await python.push(["samples": [1.0, 2.0, 4.0], "factor": 2])
    try await python.execute("scaled = [factor * x for x in samples]")
    let scaled = try await python.pull("scaled", as: [Double].self)
    let sums = try await python.apply(source: "lambda: float(sum(samples))", as: Double.self)
    let balanced = client.loadBalancedView().python
    let root = try await balanced.apply("math.sqrt", 2.0, as: Double.self)
    let roots = try await balanced.map("math.sqrt", over: [1.0, 4.0, 9.0], as: Double.self)
    print(scaled, sums, root, roots)
  }

  static func pythonOutput(_ client: Client) async throws {
    let tasks = try await client.directView().python.executeAsync("print('hello')")
    for await (engine, event) in tasks.outputEvents {
      if case .stdout(let text) = event { print("engine \(engine?.number ?? -1): \(text)", terminator: "") }
    }
    _ = try await tasks.replies
  }

  static func pythonError(_ client: Client) async throws {
    do {
      try await client.loadBalancedView().python.execute("1 / 0")
    } catch let error as RemoteError {
      print(error.name, error.value)
      print(error.traceback.joined(separator: "\n"))
    }
  }

  // MARK: Programs

  static func embedded() async throws {
    let squares = try await withCluster(engines: 2, placement: .threads) { client in
      try await client.loadBalancedView().map(0..<8) { $0 * $0 }
    }
    #expect(squares == (0..<8).map { $0 * $0 })
  }

  static func configured() async throws {
    var cluster = EmbeddedCluster(engines: 2, placement: .threads)
    cluster.client.maximumInFlight = InFlightLimit(tasks: 1000, bytes: 64 << 20)
    cluster.startTimeout = .seconds(20)
    cluster.configureController = { $0.database = .memory }
    let sum = try await cluster.run { client in
      try await client.loadBalancedView().map(0..<100) { $0 }.reduce(0, +)
    }
    #expect(sum == 4950)
  }

  static func following() async throws {
    let sum = try await withCluster(engines: 1...8) { client in
      try await client.loadBalancedView().map(0..<100) { $0 }.reduce(0, +)
    }
    #expect(sum == 4950)
  }

  static func joined() async throws {
    try await Client.withClient(.profile("lab")) { client in
      try await client.waitForEngines(4, timeout: .seconds(30))
      print(client.engines.map { "\($0.id) runs \($0.kind)" })
      for await event in client.engineEvents { print(event) }
    }
  }

  static func mixed(_ client: Client) async throws {
    let squares = try await client.loadBalancedView().map(0..<10) { $0 * $0 }
    let roots = try await client.loadBalancedView().python.map("math.sqrt", over: squares, as: Double.self)
    print(roots)
  }

  static func queries(_ client: Client) async throws {
    let status = try await client.queueStatus()
    for (engine, queue) in status.engines { print("engine \(engine) has \(queue.tasks) tasks, and has done \(queue.completed)") }
    let nightly = try await client.taskQuery(["label": "nightly"], fields: ["completed"])
    print(nightly.map(\.id))
    #expect(nightly.isEmpty)
  }

  // MARK: Errors

  static func errors(_ client: Client) async throws {
    let lines = ["1.5", "x"]
    do {
      let reader = try client.loadBalancedView().actor(LineReader.self)
      print(try await reader.numbers(in: lines))
    } catch let error as BadLine {
      print("thrown by the task, and of a type that this program knows: line \(error.number)")
    } catch let error as RemoteError where error.isEngineLoss {
      print("the engine died, and the task had no retries left: \(error.value)")
    } catch let error as RemoteError {
      print("failed on engine \(error.engine?.id.number ?? -1): \(error.name): \(error.value)")
    } catch let error as TaskError {
      print("could not be sent: \(error.message). \(error.advice ?? "")")
    } catch let error as ClientError {
      print("no way to the engines: \(error.reason). \(error.advice)")
    }
  }

  static func noCluster() async throws {
    do {
      try await Client.withClient(.profile("lab")) { client in print(client.ids) }
    } catch let error as ClientError where error.code == .noCluster {
      print(error)
    }
  }
}
