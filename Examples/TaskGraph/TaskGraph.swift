import Apus

/// A graph of tasks: each begins when those it depends on have succeeded, and the scheduler keeps the order. What each task learned of its
/// time proves it.
///
///     swift run -c release TaskGraph [--engines N]
@main struct TaskGraph: ClusterProgram {
  static let help = "Usage: TaskGraph [cluster options]"

  static let edges = [
    "parse": [], "compile": ["parse"], "resources": ["parse"], "link": ["compile", "resources"], "test": ["link"],
    "package": ["link"],
  ]

  static func run(_ client: Client) async throws {
    let view = client.loadBalancedView()
    var tasks: [String: AsyncResult<Step>] = [:]
    for name in order() {
      let needed = (edges[name] ?? []).compactMap { tasks[$0]?.task }
      tasks[name] = try await view.after(needed).applyAsync(name) { name in
        let start = ContinuousClock.now
        try await Task.sleep(for: .milliseconds(50))
        return Step(
          name: name, engine: TaskContext.current?.engine.number ?? -1, seconds: (ContinuousClock.now - start) / .seconds(1))
      }
    }
    for name in order() {
      guard let task = tasks[name] else { continue }
      let step = try await task.value
      print("\(name.padding(to: 10)) on engine \(step.engine), after \((edges[name] ?? []).joined(separator: " and "))")
    }
    try await proveOrder(tasks)
  }

  /// Names such that each stands behind what it needs.
  static func order() -> [String] {
    var done: [String] = []
    while done.count < edges.count {
      let ready = edges.filter { name, needed in !done.contains(name) && needed.allSatisfy { done.contains($0) } }
      done += ready.keys.sorted()
    }
    return done
  }

  private static func proveOrder(_ tasks: [String: AsyncResult<Step>]) async throws {
    for (name, needed) in edges {
      for other in needed {
        guard let first = try await tasks[other]?.task.reply.completed, let second = try await tasks[name]?.task.reply.started
        else { continue }
        guard first <= second else { throw Disorder(description: "\(name) began before \(other) had ended") }
      }
    }
    print("Every task began after those it needed.")
  }
}

struct Step: Codable, Sendable {
  var name: String
  var engine: Int
  var seconds: Double
}

struct Disorder: Error, CustomStringConvertible { let description: String }

extension String {
  func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
}
