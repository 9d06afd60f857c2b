import Apus

/// Drives Python engines from Swift: cells with their output as it comes, variables, functions by name and by source, maps, and an error with
/// Python's own traceback.
///
///     apus start -n 2
///     swift run -c release PythonFromSwift --profile default
@main struct PythonFromSwift: ClusterProgram {
  static let help = """
    Usage: PythonFromSwift --profile NAME | --file PATH

    Drives the Python engines of a running cluster. Start one first, in another terminal:
      apus start -n 2                        (ipcluster start -n 2 does as well)
    """

  static func run(_ client: Client) async throws {
    let view = try await pythonEngines(of: client)
    try await showOutput(view)
    try await exchangeArrays(view)
    try await callFunctions(client, view)
    try await mapOver(client)
    try await showError(client)
  }

  /// Started plainly, this program has brought up a cluster of its own, whose engines run Swift; one that was joined may still be starting.
  ///
  /// - Returns: a view of the engines of now: one that comes later has not the variables that the others were given.
  private static func pythonEngines(of client: Client) async throws -> DirectView {
    if client.ids.isEmpty { try? await client.waitForEngines(1, timeout: .seconds(10)) }
    let engines = client.engines.filter { $0.kind == .python }
    guard !engines.isEmpty else { throw NoPython(engines: client.engines.count) }
    print("Python runs on \(engines.map { "engine \($0)" }.joined(separator: " and "))")
    return try client.directView(.kind(.python)).frozen()
  }

  /// A cell on every engine; what they print comes while they run.
  private static func showOutput(_ view: DirectView) async throws {
    heading("A cell, and its output as it comes")
    let cell = """
      import os, time
      for step in range(3):
          print(f"step {step} in process {os.getpid()}", flush=True)
          time.sleep(0.2)
      """
    let start = ContinuousClock.now
    let tasks = try await view.python.executeAsync(cell)
    for await (engine, event) in tasks.outputEvents {
      guard case .stdout(let text) = event else { continue }
      let seconds = ((ContinuousClock.now - start) / .seconds(1) * 100).rounded() / 100
      for line in text.split(separator: "\n") { print("[stdout:\(engine?.number ?? -1)] \(line) (after \(seconds) s)") }
    }
    _ = try await tasks.replies
  }

  /// Arrays of numbers travel as they lie in memory; Python sees NumPy arrays, or views of the bytes where NumPy is not installed.
  private static func exchangeArrays(_ view: DirectView) async throws {
    heading("Arrays, pushed and pulled")
    let samples = (0..<1_000_000).map { Double($0) / 1000 }
    let python = view.python
    try await python.push(["samples": samples, "factor": 2])
    try await python.execute("scaled = [factor * x for x in samples[:5]]")
    for (engine, scaled) in zip(try view.engines, try await python.pull("scaled", as: [Double].self)) {
      print("engine \(engine): \(scaled)")
    }
    let copies = try await python.pull("samples", as: [Double].self)
    print("\(samples.count) numbers came back unchanged: \(copies.allSatisfy { $0 == samples })")
  }

  /// By a name that Python can find, and by source, whose globals are the engine's variables. Structures become dictionaries and back.
  private static func callFunctions(_ client: Client, _ view: DirectView) async throws {
    heading("Functions by name and by source")
    let python = client.loadBalancedView().python
    print("math.factorial(20) = \(try await python.apply("math.factorial", 20, as: Int.self))")
    let source = """
      def describe(samples, digits=2):
          import statistics
          return {"mean": round(statistics.fmean(samples), digits), "deviation": round(statistics.stdev(samples), digits)}
      """
    let summary = try await python.apply(source: source, [2.0, 4.0, 4.0, 5.0, 9.0], keywords: ["digits": 3], as: Summary.self)
    print("mean \(summary.mean), deviation \(summary.deviation)")
    let sums = try await view.python.apply(source: "lambda: float(sum(samples[:10]))", as: Double.self)
    print("sums of the first ten, engine by engine: \(sums)")
  }

  private static func mapOver(_ client: Client) async throws {
    heading("A map, balanced over the engines")
    let numbers = (0..<100_000).map { Double($0) }
    let roots = try await client.loadBalancedView().python.map("math.sqrt", over: numbers, as: Double.self)
    print("\(roots.count) roots, all as Swift computes them: \(roots == numbers.map { $0.squareRoot() })")
  }

  private static func showError(_ client: Client) async throws {
    heading("What goes wrong over there")
    let source = """
      def invert(x):
          return 1 / x
      """
    do {
      let inverse = try await client.loadBalancedView().python.apply(source: source, 0, as: Double.self)
      print("1 / 0 = \(inverse)?")
    } catch let error as RemoteError {
      print("\(error.name) on engine \(error.engine?.id.number ?? -1), with Python's traceback:")
      print(error.traceback.joined(separator: "\n"))
    }
  }

  private static func heading(_ text: String) { print("\n\(text)") }
}

/// What `describe` returns.
struct Summary: Codable, Sendable {
  var mean: Double
  var deviation: Double
}

struct NoPython: Error, CustomStringConvertible {
  let engines: Int

  var description: String {
    let there = engines == 0 ? "The cluster has no engines." : "None of the cluster's \(engines) engines runs Python."
    return """
      \(there) Start a cluster of Python engines, and let this program join it:
          apus start -n 2
          swift run -c release PythonFromSwift --profile default
      """
  }
}
