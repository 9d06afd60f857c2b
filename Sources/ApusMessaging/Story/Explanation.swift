/// Why a task or an engine is where it is: what `apus explain` shows, as the hub tells it.
public struct Explanation: Sendable, Hashable {
  /// A task's id, or an engine's name.
  public var subject: String
  /// In one word: of tasks `unknown`, `waiting`, `queued`, `placed`, `running` or `ended`; of engines `unknown`, `registered` or `lost`.
  public var status: String
  /// In one sentence.
  public var summary: String
  /// Why, the weightiest first.
  public var reasons: [Reason]
  /// Each engine that had the task, in order.
  public var tries: [Try]
  /// How long it was where.
  public var phases: [Phase]
  /// What is known beside: label, client, queue, outcome, uuid and so on.
  public var facts: JSONObject

  public init(
    subject: String, status: String, summary: String, reasons: [Reason] = [], tries: [Try] = [], phases: [Phase] = [],
    facts: JSONObject = [:]
  ) {
    self.subject = subject
    self.status = status
    self.summary = summary
    self.reasons = reasons
    self.tries = tries
    self.phases = phases
    self.facts = facts
  }

  /// One reason: a word for programs, a sentence for people, and what it is about.
  public struct Reason: Sendable, Hashable {
    public var code: String
    public var sentence: String
    public var details: JSONObject

    public init(_ code: String, _ sentence: String, _ details: JSONObject = [:]) {
      self.code = code
      self.sentence = sentence
      self.details = details
    }
  }

  /// One engine that had the task.
  public struct Try: Sendable, Hashable {
    public var engine: EngineUUID
    public var engineID: EngineID?
    public var placed: Timestamp
    /// When it was over there.
    public var ended: Timestamp?
    /// How: `ok`, `error`, `failed`, `unmet_dependency`, `engine_lost` and so on; `nil` while it is there.
    public var end: String?
    /// In words.
    public var sentence: String

    public init(
      engine: EngineUUID, engineID: EngineID?, placed: Timestamp, ended: Timestamp? = nil, end: String? = nil, sentence: String = ""
    ) {
      self.engine = engine
      self.engineID = engineID
      self.placed = placed
      self.ended = ended
      self.end = end
      self.sentence = sentence
    }
  }

  /// A part of the task's time.
  public struct Phase: Sendable, Hashable {
    /// `to the controller`, `in the queue`, `on the way to the engine`, `running`, `on the way back`.
    public var name: String
    public var began: Timestamp
    /// Microseconds.
    public var length: Int

    public init(_ name: String, began: Timestamp, length: Int) {
      self.name = name
      self.began = began
      self.length = length
    }
  }
}

// MARK: JSON

extension Explanation {
  public var json: JSONValue {
    [
      "subject": .string(subject), "status": .string(status), "summary": .string(summary),
      "reasons": .array(
        reasons.map { ["code": .string($0.code), "sentence": .string($0.sentence), "details": .object($0.details)] }),
      "tries": .array(
        tries.map {
          [
            "engine": $0.engineID.map { .int($0.number) } ?? .null, "engine_uuid": .string($0.engine.text),
            "placed": .string($0.placed.description), "ended": JSONValue($0.ended?.description), "end": JSONValue($0.end),
            "sentence": .string($0.sentence),
          ]
        }),
      "phases": .array(
        phases.map {
          ["name": .string($0.name), "began": .string($0.began.description), "duration_s": .double(Double($0.length) / 1_000_000)]
        }),
      "facts": .object(facts),
    ]
  }

  /// - Returns: `nil` for what is none.
  public init?(_ json: JSONValue) {
    guard let subject = json["subject"]?.stringValue, let status = json["status"]?.stringValue,
      let summary = json["summary"]?.stringValue
    else { return nil }
    func moment(_ value: JSONValue?) -> Timestamp? { value?.stringValue.flatMap { Timestamp($0) } }
    self.init(
      subject: subject, status: status, summary: summary,
      reasons: (json["reasons"]?.arrayValue ?? []).compactMap { reason in
        guard let code = reason["code"]?.stringValue, let sentence = reason["sentence"]?.stringValue else { return nil }
        return Reason(code, sentence, reason["details"]?.objectValue ?? [:])
      },
      tries: (json["tries"]?.arrayValue ?? []).compactMap { one in
        guard let engine = EngineUUID(told: one["engine_uuid"]), let placed = moment(one["placed"]) else { return nil }
        return Try(
          engine: engine, engineID: one["engine"]?.intValue.map { EngineID($0) }, placed: placed, ended: moment(one["ended"]),
          end: one["end"]?.stringValue, sentence: one["sentence"]?.stringValue ?? "")
      },
      phases: (json["phases"]?.arrayValue ?? []).compactMap { phase in
        guard let name = phase["name"]?.stringValue, let began = moment(phase["began"]),
          let seconds = phase["duration_s"]?.doubleValue,
          abs(seconds) < 1e12
        else { return nil }
        return Phase(name, began: began, length: Int((seconds * 1_000_000).rounded()))
      },
      facts: json["facts"]?.objectValue ?? [:])
  }

  /// For people: the summary, and what led to it, a line each.
  public var text: String {
    var lines = [summary]
    for reason in reasons { lines.append("  \(reason.sentence)") }
    if tries.count > 1 || tries.contains(where: { $0.end != "ok" && $0.end != nil }) {
      lines.append("tries:")
      for (index, one) in tries.enumerated() { lines.append("  \(index + 1). \(one.sentence)") }
    }
    if !phases.isEmpty {
      lines.append("time:")
      let width = phases.map(\.name.count).max() ?? 0
      for phase in phases {
        let name = phase.name + String(repeating: " ", count: width - phase.name.count)
        lines.append("  \(name)  \(StoryEvent.duration(microseconds: phase.length))")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
