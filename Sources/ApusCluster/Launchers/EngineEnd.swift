public import ApusMessaging
import ApusProcess

/// Why an engine is no more, as far as the system that ran it tells.
public enum EngineEnd: Sendable, Hashable, CustomStringConvertible {
  case exited(Int32)
  case signaled(Int32)
  /// The job's time was over.
  case timeLimit
  /// The job's memory was not enough.
  case outOfMemory
  /// The machine it ran on failed, or is not reached any more; empty where nobody says which.
  case nodeLost(String)
  /// Somebody ended the job through its system; empty where that does not tell who.
  case cancelled(by: String)
  /// It never ran: the system's words.
  case refused(String)
  /// The system knows the job no more: what is known of it.
  case vanished(String)

  init(_ status: ExitStatus) {
    switch status {
    case .exited(let code): self = .exited(code)
    case .signaled(let signal): self = .signaled(signal)
    }
  }

  /// As shells name the end by a signal: 128 and its number.
  static func ofShell(_ code: Int32) -> EngineEnd { code > 128 && code < 128 + 65 ? .signaled(code - 128) : .exited(code) }

  public var isSuccess: Bool { self == .exited(0) }

  /// A job of more worth took its place: its system did it, and nobody who wanted it to end.
  static let preempted = EngineEnd.cancelled(by: "a job of higher priority (preempted)")
  /// mpiexec ends all ranks with one of them.
  static func withRank(_ rank: Int) -> EngineEnd { .cancelled(by: "\(mpiexec) because rank \(rank) ended") }
  private static let mpiexec = "mpiexec,"

  /// Whether somebody ended it who wanted it to end.
  var isDeliberate: Bool {
    guard case .cancelled(let by) = self else { return false }
    return self != .preempted && !by.hasPrefix(Self.mpiexec)
  }

  public var description: String {
    switch self {
    case .exited(let code): "\(ExitStatus.exited(code))"
    case .signaled(let signal): "\(ExitStatus.signaled(signal))"
    case .timeLimit: "its time limit"
    case .outOfMemory: "out of memory"
    case .nodeLost(let node): node.isEmpty ? "the loss of its node" : "the loss of its node \(node)"
    case .cancelled(let user): user.isEmpty ? "cancelled" : "cancelled by \(user)"
    case .refused(let words): "refused: \(words)"
    case .vanished(let words): words.isEmpty ? "no word of its system" : words
    }
  }

  // MARK: JSON

  public var json: JSONValue {
    var object: JSONObject = ["reason": .string(name)]
    switch self {
    case .exited(let number): object["exit_code"] = .int(Int(number))
    case .signaled(let number): object["signal"] = .int(Int(number))
    case .nodeLost(let detail), .cancelled(let detail), .refused(let detail), .vanished(let detail):
      if !detail.isEmpty { object["detail"] = .string(detail) }
    case .timeLimit, .outOfMemory: break
    }
    return .object(object)
  }

  private var name: String {
    switch self {
    case .exited: "exit"
    case .signaled: "signal"
    case .timeLimit: "time limit"
    case .outOfMemory: "out of memory"
    case .nodeLost: "node lost"
    case .cancelled: "cancelled"
    case .refused: "refused"
    case .vanished: "unknown"
    }
  }

  init?(_ json: JSONValue) {
    func number(_ key: String) -> Int32? { json[key]?.intValue.flatMap { Int32(exactly: $0) } }
    let detail = json["detail"]?.stringValue ?? ""
    switch json["reason"]?.stringValue {
    case "exit": self = .exited(number("exit_code") ?? 0)
    case "signal": self = .signaled(number("signal") ?? 0)
    case "time limit": self = .timeLimit
    case "out of memory": self = .outOfMemory
    case "node lost": self = .nodeLost(detail)
    case "cancelled": self = .cancelled(by: detail)
    case "refused": self = .refused(detail)
    case "unknown": self = .vanished(detail)
    default: return nil
    }
  }
}

/// An engine that has ended, as the cluster's file keeps it.
public struct EndedEngine: Sendable, Hashable {
  /// The set it belonged to, by its name in the cluster's file.
  public var set = ""
  /// In its set.
  public var index: Int
  public var end: EngineEnd
  /// Where it ran: `job 12, node n1`, `process 4711`.
  public var place: String
  /// Its last words.
  public var lines: [String]
  /// What became of it: `started again after 1 s`; empty where nothing did.
  public var consequence = ""

  static let hasReturned = "there again with its job, which its system has started anew"

  public init(index: Int, end: EngineEnd, place: String, lines: [String]) {
    self.index = index
    self.end = end
    self.place = place
    self.lines = lines
  }

  public var sentence: String { "engine \(index) (\(place)) ended: \(end)" + (consequence.isEmpty ? "" : "; \(consequence)") }

  public var json: JSONValue {
    var object = end.json.objectValue ?? [:]
    object["set"] = .string(set)
    object["index"] = .int(index)
    object["place"] = .string(place)
    object["output"] = JSONValue(lines)
    if !consequence.isEmpty { object["consequence"] = .string(consequence) }
    return .object(object)
  }

  init?(_ json: JSONValue) {
    guard let index = json["index"]?.intValue, let end = EngineEnd(json) else { return nil }
    self.init(
      index: index, end: end, place: json["place"]?.stringValue ?? "", lines: json["output"]?.stringArrayValue ?? [])
    set = json["set"]?.stringValue ?? ""
    consequence = json["consequence"]?.stringValue ?? ""
  }
}
