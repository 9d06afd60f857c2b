public import ApusMessaging

/// What `apus status` shows: the engines of a cluster and what they have to do.
public struct StatusReport: Sendable {
  public struct Engine: Sendable {
    public var id: Int
    public var uuid: String
    public var kind: String
    /// Direct tasks, and balanced ones placed here, that are not answered.
    public var queued: Int
    public var tasks: Int
    public var completed: Int
    /// Tasks a second since the look before; `nil` at the first.
    public var rate: Double?

    public init(id: Int, uuid: String, kind: String, queued: Int, tasks: Int, completed: Int) {
      self.id = id
      self.uuid = uuid
      self.kind = kind
      self.queued = queued
      self.tasks = tasks
      self.completed = completed
    }
  }

  /// Where the controller is, and the file that told so.
  public var controller: String
  public var source: String
  /// By id.
  public var engines: [Engine]
  /// Balanced tasks that wait for an engine.
  public var unassigned: Int
  /// Engines that ended before the cluster did, as far as their launcher knows.
  public var ended: [EndedEngine] = []
  /// What the launcher that watches over the cluster says of itself, if there is one.
  public var scaling: ScalingReport?
  /// `nil` without one, and where it is not on this host.
  public var journal: JournalReport?

  public init(controller: String, source: String, engines: [Engine], unassigned: Int) {
    self.controller = controller
    self.source = source
    self.engines = engines
    self.unassigned = unassigned
  }

  public var rate: Double? {
    let rates = engines.compactMap(\.rate)
    return rates.isEmpty ? nil : rates.reduce(0, +)
  }

  /// Whether nothing goes on that could be seen at another look: the rates are known and 0.
  public var isQuiet: Bool { engines.allSatisfy { $0.rate.map { $0 == 0 } ?? false } }

  /// Fills in what each engine did since an earlier look.
  /// - Parameter seconds: between the two.
  public mutating func measure(since earlier: StatusReport, seconds: Double) {
    guard seconds > 0 else { return }
    let before = Dictionary(earlier.engines.map { ($0.uuid, $0.completed) }) { $1 }
    for index in engines.indices {
      guard let completed = before[engines[index].uuid] else { continue }
      engines[index].rate = Double(max(0, engines[index].completed - completed)) / seconds
    }
  }

  public func text(isStyled: Bool) -> String {
    func label(_ text: String) -> String { isStyled ? TerminalStyle.bold.applied(to: text) : text }
    var kinds: [String: Int] = [:]
    for engine in engines { kinds[engine.kind, default: 0] += 1 }
    let parts = kinds.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
    var summary = "\(engines.count)" + (kinds.isEmpty ? "" : " (\(parts.joined(separator: ", ")))")
    summary = TerminalStyle.printable(summary)
    var text = "\(label("Controller"))  \(controller)  \(source)\n\(label("Engines"))     \(summary)\n"
    let open = engines.reduce(unassigned) { $0 + $1.queued + $1.tasks }
    text += "\(label("Tasks"))       \(open) under way, \(unassigned) of them wait for an engine"
    if let rate { text += "; \(Self.shown(rate)) tasks/s" }
    text += "\n"
    if let journal { text += "\(label("Journal"))     \(TerminalStyle.printable(journal.sentence))\n" }
    if let scaling, scaling.isActive { text += "\(label("Launcher"))    \(scaling.sentence)\n" }
    guard !engines.isEmpty else { return text + decisionsText + endedText }
    var table = TextTable([
      .init("ENGINE", isNumeric: true), .init("KIND"), .init("QUEUED", isNumeric: true), .init("TASKS", isNumeric: true),
      .init("DONE", isNumeric: true), .init("TASKS/S", isNumeric: true),
    ])
    for engine in engines {
      func busy(_ count: Int) -> TextTable.Cell { TextTable.Cell(String(count), count > 0 ? .yellow : .dim) }
      table.append([
        TextTable.Cell(String(engine.id)), TextTable.Cell(engine.kind, engine.kind == "python" ? .blue : .cyan),
        busy(engine.queued),
        busy(engine.tasks), TextTable.Cell(String(engine.completed)),
        TextTable.Cell(engine.rate.map(Self.shown) ?? "", (engine.rate ?? 0) > 0 ? .green : .dim),
      ])
    }
    return text + "\n" + table.text(isStyled: isStyled) + decisionsText + endedText
  }

  /// Why the number of engines changed, the latest last.
  private var decisionsText: String {
    guard let scaling, !scaling.steps.isEmpty else { return "" }
    return "\n" + scaling.steps.suffix(5).map { TerminalStyle.printable("\($0.clock)  \($0.reason)") + "\n" }.joined()
  }

  /// The newest of those that are gone, with their last words.
  private var endedText: String {
    guard !ended.isEmpty else { return "" }
    let lines = ended.suffix(10).flatMap { engine in [engine.sentence] + engine.lines.suffix(5).map { "  \($0)" } }
    let more = ended.count > 10 ? ["\(ended.count - 10) more ended before"] : []
    return "\n" + (more + lines).map { TerminalStyle.printable($0) + "\n" }.joined()
  }

  private static func shown(_ rate: Double) -> String { DurationText.fixed(rate, rate < 100 ? 1 : 0) }

  public var json: JSONValue {
    [
      "controller": .string(controller), "source": .string(source), "unassigned": .int(unassigned),
      "rate": rate.map { .double($0) } ?? .null, "ended": .array(ended.map(\.json)), "scaling": scaling?.json ?? .null,
      "journal": journal?.json ?? .null,
      "engines": .array(
        engines.map {
          [
            "id": .int($0.id), "uuid": .string($0.uuid), "kind": .string($0.kind), "queued": .int($0.queued),
            "tasks": .int($0.tasks),
            "completed": .int($0.completed), "rate": $0.rate.map { .double($0) } ?? .null,
          ]
        }),
    ]
  }
}
