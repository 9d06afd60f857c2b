import Apus
import Glibc

/// Kills its engine when it comes to the seventh item, and there is no flag that says that it was done already.
private func squared(_ item: Int, _ flag: String) -> Int {
  if item == 7, access(flag, F_OK) != 0 {
    close(creat(flag, 0o600))
    kill(getpid(), SIGKILL)
  }
  return item * item
}

distributed actor Squarer: RemoteTask {
  distributed func square(_ item: Int, _ flag: String) -> Int { squared(item, flag) }
}

/// Engines that die in the middle. Each scenario wants engines enough to lose.
enum Losses {
  /// - Parameter flag: the beginning of paths at which there is nothing yet.
  static func run(_ client: Client, _ flag: String) async {
    let view = client.loadBalancedView()
    let retrying = view.with { $0.retries = 1 }
    await step("map with retries") {
      try await retrying.map(0..<40, with: flag + "1", chunk: .items(1)) { squared($1, $0) }.reduce(0, +)
    }
    await step("map in chunks with retries") {
      try await retrying.map(0..<4000, with: flag + "2") { squared($1, $0) }.reduce(0, +)
    }
    await step("actor map with retries") {
      let path = flag + "3"
      return try await retrying.map(0..<40, on: Squarer.self) { try await $0.square($1, path) }.reduce(0, +)
    }
    await step("map without retries") {
      try await view.map(0..<40, with: flag + "4", chunk: .items(1)) { squared($1, $0) }.reduce(0, +)
    }
    await step("actor map without retries") {
      let path = flag + "5"
      return try await view.map(0..<40, on: Squarer.self) { try await $0.square($1, path) }.reduce(0, +)
    }
    await step("direct map") {
      try await client.directView().map(0..<40, with: flag + "6") { squared($1, $0) }.reduce(0, +)
    }
    await step("engines left") { client.ids.count }
    await step("afterwards") { try await view.map(0..<40) { $0 * $0 }.reduce(0, +) }
  }

  /// Ways for a task to end its engine.
  static func deaths(_ client: Client) async {
    let view = client.loadBalancedView()
    await step("exit") { try await view.apply { () -> Int in exit(3) } }
    await step("trap") { try await view.apply { () -> Int in [Int]()[Int(getpid())] } }
    await step("address") { try await view.apply { UnsafePointer<Int>(bitPattern: 8)?.pointee ?? 0 } }
    await step("abort") { try await view.apply { () -> Int in abort() } }
    await step("afterwards") { try await view.apply { 1 } }
  }

  /// No retry can help where the last engine goes.
  static func lastEngine(_ client: Client) async {
    let view = client.loadBalancedView().with { $0.retries = 5 }
    await step("map") {
      try await view.with { $0.timeout = .seconds(2) }.map(0..<40, chunk: .items(1)) { item -> Int in
        if item == 7 { kill(getpid(), SIGKILL) }
        return item
      }.count
    }
    await step("direct") { try await client.directView().apply { 1 } }
    await step("balanced") { try await view.with { $0.timeout = .milliseconds(300) }.apply { 1 } }
  }
}
