public import ApusMessaging

/// Which engines a view, or a control request, is about. It is resolved at every use.
public enum EngineSelection: Sendable, Hashable {
  /// Every engine that is registered at that moment.
  case all
  /// These, whether others come or not.
  case engines([EngineID])
  /// Every engine of this kind that is registered at that moment.
  case kind(EngineKind)
  /// Positions among the registered engines in the order of their ids, from `start` in steps: `slice(0, step: 2)` is every second one.
  case slice(_ start: Int, end: Int? = nil, step: Int = 1)

  public static func engine(_ id: EngineID) -> EngineSelection { .engines([id]) }
  public static func engine(_ number: Int) -> EngineSelection { .engines([EngineID(number)]) }

  /// - Parameter awaited: those that are not registered, and may be named all the same.
  /// - Throws: `noEngines` where nothing is selected, `unknownEngine` where one is not registered.
  func resolve(among registered: [RegisteredEngine], awaited: [RegisteredEngine] = []) throws(ClientError) -> [RegisteredEngine] {
    let selected: [RegisteredEngine]
    switch self {
    case .all: selected = registered
    case .engines(let ids):
      var found: [RegisteredEngine] = []
      for id in ids {
        guard let engine = registered.first(where: { $0.id == id }) ?? awaited.first(where: { $0.id == id }) else {
          let numbers = registered.map(\.id.description).joined(separator: ", ")
          throw ClientError(
            .unknownEngine, "engine \(id) is not registered",
            advice: registered.isEmpty ? "No engines are at the moment." : "The registered engines have these numbers: \(numbers).")
        }
        guard !found.contains(engine) else { throw ClientError(.invalidArgument, "engine \(id) is selected twice") }
        found.append(engine)
      }
      selected = found
    case .kind(let kind):
      selected = registered.filter { $0.kind == kind }
      if selected.isEmpty, !registered.isEmpty {
        let others = Set(registered.map(\.kind.rawValue)).sorted().joined(separator: ", ")
        throw ClientError(
          .noEngines, "none of the \(registered.count) registered engines is of the kind \(kind)",
          advice: "There are engines of the kind \(others); start one of the kind \(kind), or select others.")
      }
    case .slice(let start, let end, let step):
      guard step > 0, start >= 0 else {
        throw ClientError(.invalidArgument, "a slice starts at 0 or later, and its step is 1 or more")
      }
      selected = stride(from: start, to: min(end ?? registered.count, registered.count), by: step).map { registered[$0] }
    }
    if selected.isEmpty {
      throw ClientError(
        .noEngines, registered.isEmpty ? "no engines are registered" : "the selection has no engines",
        advice: "Wait for engines (waitForEngines), or start some (apus engine).")
    }
    return selected
  }
}

extension Client {
  /// As `EngineSelection.resolve`, among the engines of this moment.
  func resolve(_ selection: EngineSelection) throws(ClientError) -> [RegisteredEngine] {
    let (present, awaited) = roster.all
    return try selection.resolve(among: present, awaited: awaited)
  }
}
