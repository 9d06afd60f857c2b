public import ApusMessaging

/// What the launcher that watches over a cluster says of the number of its engines.
public struct ClusterScaling: Sendable, Hashable {
  public struct Decision: Sendable, Hashable {
    /// Seconds since 1970.
    public var time: Double
    /// A sentence for people.
    public var reason: String
  }

  /// Whether there is such a launcher: nobody else starts engines or lets them go.
  public var isSupervised: Bool
  /// How many engines there are to be; `nil` where nobody has said: it stays as it is.
  public var range: ClosedRange<Int>?
  /// Engines of the launcher: those that work, and those that are about to come.
  public var engines: Int
  /// The latest last.
  public var decisions: [Decision]
  /// Which wish the controller heard last, of this client or another: counted from 1.
  public var serial: Int
  /// Tells a controller from those before it, which counted their own wishes.
  public var controller: Int
  /// As it came.
  public var report: JSONValue
}

/// The number of engines. Needs a controller of Apus, and for wishes a launcher that stays with the cluster: `apus start` in the foreground, or
/// in the background, unless `--no-journal` was said without `--min`, `--max` or `--restart`.
extension Client {
  /// How many engines there are to be, and why it changed last.
  public func scaling() async throws -> ClusterScaling { try await scaling(wish: .null) }

  /// So many engines from now on: more are started, or some take no more tasks and end. None goes that computes, or that was addressed itself and
  /// may hold names.
  /// - Parameter isForced: whether those go, too: the first when they are done.
  /// - Throws: `RemoteError` where no launcher watches over the cluster.
  @discardableResult
  public func scale(to engines: Int, isForced: Bool = false) async throws -> ClusterScaling {
    try await scaling(wish: ["min": .int(max(0, engines)), "max": .int(max(0, engines)), "force": .bool(isForced)])
  }

  /// As many engines as there is work for, within this range.
  /// - Throws: as `scale(to:isForced:)`.
  @discardableResult
  public func adapt(to range: ClosedRange<Int>) async throws -> ClusterScaling {
    try await scaling(wish: ["min": .int(max(0, range.lowerBound)), "max": .int(max(0, range.upperBound)), "force": false])
  }

  /// Ends these engines and has others started in their place; what they compute is lost.
  /// - Parameter engines: `nil` is all.
  /// - Throws: as `scale(to:isForced:)`.
  @discardableResult
  public func restart(_ engines: [EngineID]?) async throws -> ClusterScaling {
    try await scaling(wish: ["restart": engines.map { .array($0.map { .int($0.number) }) } ?? "all"])
  }

  /// These engines take no more balanced tasks. Direct requests are served as before.
  /// - Parameter thenStop: whether they are to end when they have nothing to do.
  /// - Returns: those of them that are there.
  @discardableResult
  public func drain(_ engines: [EngineID], thenStop: Bool = false) async throws -> [EngineID] {
    let content = try await ask(.drainRequest, ["ids": .array(engines.map { .int($0.number) }), "stop": .bool(thenStop)]).content
    return (content["ids"]?.arrayValue ?? []).compactMap { $0.intValue.map { EngineID($0) } }
  }

  /// What there is to do, and how the engines are, as launchers are told it: `waiting`, `mean` (seconds that a balanced task takes), and `engines`
  /// with `id`, `origin` (the place in a launcher's set), `busy`, `idle`, `holds`, `draining`, `own`.
  public func demand() async throws -> JSONObject { try await ask(.demandRequest, [:]).content }

  private func scaling(wish: JSONValue) async throws -> ClusterScaling {
    let content = try await ask(.scaleRequest, ["wish": wish]).content
    let report = content["report"] ?? .null
    var range: ClosedRange<Int>?
    if let low = report["min"]?.intValue, let high = report["max"]?.intValue, low <= high { range = low...high }
    let decisions = (report["decisions"]?.arrayValue ?? []).compactMap { value in
      value["reason"]?.stringValue.map { ClusterScaling.Decision(time: value["time"]?.doubleValue ?? 0, reason: $0) }
    }
    return ClusterScaling(
      isSupervised: content["supervised"]?.boolValue ?? false, range: range, engines: report["engines"]?.intValue ?? 0,
      decisions: decisions, serial: content["serial"]?.intValue ?? 0, controller: content["controller"]?.intValue ?? 0,
      report: report)
  }
}
