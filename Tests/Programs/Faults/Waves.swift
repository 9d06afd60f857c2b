import Apus
import Glibc

/// A client that always waits for many tasks, for `scripts/kills`: one wave after another, each task of which leaves a mark on its Python engine.
enum Waves {
  /// Runs until the file `stop` is in the directory. Tasks that end wrongly are printed, and at last how many there were.
  static func run(_ client: Client, _ directory: String, _ count: Int) async throws {
    let view = client.loadBalancedView()
    let marks = "\(directory)/ran"
    var (sent, wrong) = (0, 0)
    try await client.waitForEngines(1, timeout: .seconds(60))
    await step("ready") { count }
    while access("\(directory)/stop", F_OK) != 0 {
      let numbers = first + sent..<first + sent + count
      wrong += await withTaskGroup(of: Int.self) { group in
        for number in numbers { group.addTask { await isWrong(number, view, marks) } }
        return await group.reduce(0, +)
      }
      sent += count
    }
    await step("tasks") { sent }
    await step("wrong") { wrong }
  }

  /// Those of other clients are below.
  private static let first = 1_000_000

  /// - Returns: 1 where it is, for a sum.
  private static func isWrong(_ number: Int, _ view: LoadBalancedView, _ marks: String) async -> Int {
    let seconds = [0, 0.002, 0.02][number % 3]
    do {
      let square = try await view.python.apply("journal_tasks.note", marks, number, seconds, as: Int.self)
      if square == number * number { return 0 }
      await step("task \(number)") { square }
    } catch {
      await step("task \(number)") { throw error }
    }
    return 1
  }
}
