import Synchronization

/// Room for output on its way from the engines to the task database: engines print faster than a database reads, and that much of it is
/// in memory at once. Clients have it all the same.
final class OutputBudget: Sendable {
  private let limit: Int
  private let taken = Atomic(0)

  init(limit: Int = 64 << 20) { self.limit = limit }

  var bytes: Int { taken.load(ordering: .relaxed) }

  /// - Returns: false if there is no room for so many bytes.
  func take(_ bytes: Int) -> Bool {
    if taken.add(bytes, ordering: .relaxed).newValue <= limit { return true }
    giveBack(bytes)
    return false
  }

  /// For bytes that have been taken and are kept longer than they would be.
  func keep(_ bytes: Int) { taken.add(bytes, ordering: .relaxed) }

  func giveBack(_ bytes: Int) { taken.subtract(bytes, ordering: .relaxed) }
}
