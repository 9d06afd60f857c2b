/// Bodies that run side by side on the client, so many at a time.
enum ActorMap {
  static func run<Items: Sequence & Sendable, Output: Sendable>(
    _ items: Items, ahead: Int, _ body: @escaping @Sendable (Int, Items.Element) async throws -> Output
  ) async throws -> [Output] where Items.Element: Sendable {
    try await withThrowingTaskGroup(of: (Int, Output).self) { group in
      var found: [Output?] = []
      var running = 0
      for item in items {
        if running >= max(1, ahead), let (index, output) = try await group.next() {
          found[index] = output
          running -= 1
        }
        let index = found.count
        found.append(nil)
        running += 1
        group.addTask { (index, try await body(index, item)) }
      }
      for try await (index, output) in group { found[index] = output }
      return found.compactMap { $0 }
    }
  }
}
