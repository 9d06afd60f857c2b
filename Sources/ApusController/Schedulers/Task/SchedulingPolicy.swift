/// How the task scheduler chooses among the engines that may take a task (protocol section 10.1).
public enum SchedulingPolicy: String, Sendable, Hashable, CaseIterable {
  /// The smallest load; the longest unused of equals.
  case leastLoad = "leastload"
  /// The longest unused.
  case leastRecentlyUsed = "lru"
  case plainRandom = "plainrandom"
  /// The longer unused of two random ones.
  case twoBin = "twobin"
  /// The less loaded of two random ones, drawn by the inverse of their loads.
  case weighted = "weighted"
  /// Round robin without looking at dependencies, targets, retries or loads.
  case pure = "pure"
}
