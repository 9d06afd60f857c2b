/// Which engines a command is for: `all`, `0,2`, or `0:4:2`, which slices the registered ids as Python slices a list.
public enum TargetExpression: Sendable, Hashable {
  case all
  case ids([Int])
  case slice(start: Int?, stop: Int?, step: Int)

  /// - Throws: `ExitCode.usage` for anything else.
  public init(_ text: String) throws(ClusterError) {
    let text = text.filter { $0 != " " }
    if text == "all" {
      self = .all
      return
    }
    let wrong = ClusterError(
      .usage, "--targets should be engine ids or a slice of them, and '\(text)' is neither",
      advice: "For example: --targets=0,2 or --targets=0:4:2 or --targets=-1: or --targets=all.")
    if text.contains(":") {
      let parts = text.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 3 else { throw wrong }
      var numbers: [Int?] = []
      for part in parts {
        guard part.isEmpty || Int(part) != nil else { throw wrong }
        numbers.append(Int(part))
      }
      let step = numbers.count == 3 ? numbers[2] ?? 1 : 1
      guard step != 0 else {
        throw ClusterError(.usage, "the step of --targets is 0", advice: "1 is every engine, 2 every second one, -1 from the end.")
      }
      self = .slice(start: numbers[0], stop: numbers[1], step: step)
      return
    }
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let ids = parts.compactMap { Int($0) }
    guard ids.count == parts.count, ids.allSatisfy({ $0 >= 0 }) else { throw wrong }
    self = .ids(ids)
  }

  /// - Parameter registered: ids, ascending.
  /// - Throws: `ExitCode.missing` where nothing is selected, or an engine that is named is not registered.
  public func select(among registered: [Int]) throws(ClusterError) -> [Int] {
    var selected: [Int]
    switch self {
    case .all: selected = registered
    case .slice(let start, let stop, let step):
      selected = Self.positions(start, stop, step, count: registered.count).map { registered[$0] }
    case .ids(let ids):
      selected = []
      for id in ids where !selected.contains(id) {
        guard registered.contains(id) else {
          throw ClusterError(.missing, "engine \(id) is not registered", advice: Self.list(registered))
        }
        selected.append(id)
      }
    }
    if selected.isEmpty {
      throw ClusterError(
        .missing, registered.isEmpty ? "no engines are registered" : "--targets selects none of the engines",
        advice: registered.isEmpty
          ? "Start some with 'apus engines -n 2', or see why those of the cluster died." : Self.list(registered))
    }
    return selected
  }

  private static func list(_ ids: [Int]) -> String {
    if ids.isEmpty { return "There are none at the moment: start some with 'apus engines -n 2'." }
    let shown = ids.prefix(20).map(String.init).joined(separator: ", ")
    return "There are engines \(shown)\(ids.count > 20 ? " … (\(ids.count) in all)" : "") at the moment: see 'apus status'."
  }

  /// As Python's `range(*slice(start, stop, step).indices(count))`.
  private static func positions(_ start: Int?, _ stop: Int?, _ step: Int, count: Int) -> [Int] {
    let step = max(-count - 1, min(count + 1, step))
    let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
    func bound(_ index: Int) -> Int { max(low, min(high, index < 0 ? index + count : index)) }
    let first = start.map(bound) ?? (step > 0 ? low : high)
    let last = stop.map(bound) ?? (step > 0 ? high : low)
    return Array(stride(from: first, to: last, by: step))
  }
}
