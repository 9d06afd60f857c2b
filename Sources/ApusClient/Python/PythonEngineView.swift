import ApusMessaging

/// A view that can drive Python: `view.python`. Not for conforming to: the three views do.
public protocol PythonEngineView: EngineView {
  /// The same view of Python engines only, for a cluster that also has others.
  /// - Throws: `ClientError`: `noEngines` where none of the view's engines runs Python, `invalidArgument` where one that was chosen
  ///   by its number does not.
  func ofPythonEngines() throws(ClientError) -> Self
}

extension PythonEngineView {
  /// Code, functions and variables of this view's Python engines.
  ///
  ///     let root = try await client.loadBalancedView().python.apply("math.sqrt", 2.0, as: Double.self)
  ///     try await client.directView().python.push(["x": [1.0, 2.0, 3.0]])
  ///     let sums = try await client.directView().python.apply(source: "lambda: sum(x)", as: Double.self)
  public var python: PythonView<Self> { PythonView(self) }
}

extension DirectView: PythonEngineView {
  public func ofPythonEngines() throws(ClientError) -> DirectView {
    let selection = try targets.ofPythonEngines(among: client.roster.all)
    guard selection != targets else { return self }
    var view = self
    view.targets = selection
    return view
  }
}

extension BroadcastView: PythonEngineView {
  public func ofPythonEngines() throws(ClientError) -> BroadcastView {
    guard !isCoalescing else {
      throw ClientError(
        .invalidArgument, "the replies of a coalescing view come as one, and cannot be told apart by engine",
        advice: "Set isCoalescing to false for Python calls.")
    }
    let selection = try targets.ofPythonEngines(among: client.roster.all)
    guard selection != targets else { return self }
    var view = self
    view.targets = selection
    return view
  }
}

extension LoadBalancedView: PythonEngineView {
  public func ofPythonEngines() throws(ClientError) -> LoadBalancedView {
    let (present, awaited) = client.roster.all
    // Without engines the tasks wait for some; only targets need not be there.
    let engines = targets == nil ? present : present + awaited
    guard engines.contains(where: { $0.kind != .python }) else { return self }
    var view = self
    guard let targets else {
      try view.setTargets(.kind(.python))
      return view
    }
    // What is known of a target's kind may be newer than the target.
    let others = Set(engines.lazy.filter { $0.kind != .python }.map(\.uuid))
    let fitting = targets.filter { !others.contains($0.uuid) }
    guard fitting.count < targets.count else { return self }
    guard !fitting.isEmpty else {
      throw ClientError(
        .noEngines, "none of the view's targets runs Python", advice: "Let Python engines be targets: setTargets(.kind(.python)).")
    }
    try view.setTargets(.engines(fitting.map(\.id)))
    return view
  }
}

extension EngineSelection {
  /// The same selection without engines that do not run Python.
  /// - Parameter engines: of one moment.
  func ofPythonEngines(
    among engines: (present: [RegisteredEngine], awaited: [RegisteredEngine])
  ) throws(ClientError) -> EngineSelection {
    let (registered, awaited) = engines
    // Only who is named need not be there.
    let eligible = if case .engines = self { registered + awaited } else { registered }
    guard eligible.contains(where: { $0.kind != .python }) else { return self }
    switch self {
    case .all: return .kind(.python)
    case .kind(.python): return self
    case .kind(let kind):
      throw ClientError(.noEngines, "engines of the kind \(kind) do not run Python", advice: "Select .kind(.python).")
    case .engines:
      guard let other = try resolve(among: registered, awaited: awaited).first(where: { $0.kind != .python }) else { return self }
      throw ClientError(
        .invalidArgument, "engine \(other) is of the kind \(other.kind) and does not run Python",
        advice: "Select Python engines, for instance .kind(.python).")
    case .slice:
      let fitting = try resolve(among: registered).filter { $0.kind == .python }
      guard !fitting.isEmpty else { throw ClientError(.noEngines, "the slice has no engine that runs Python") }
      return .engines(fitting.map(\.id))
    }
  }
}
