extension StoryEvent {
  /// One line for people, without its time: `task 8e1…_7 placed on engine 0`.
  ///
  /// - Parameters:
  ///   - submitted: when the task was, for its duration.
  ///   - placed: when an engine was chosen for it.
  public func sentence(submitted: Timestamp? = nil, placed: Timestamp? = nil) -> String {
    let name = task.map { "task \($0)" } ?? "a task"
    switch kind {
    case .submitted:
      let what = [label.map { "'\($0)'" }, request].compactMap { $0 }.joined(separator: ", ")
      let target = engine == nil ? "" : " for \(engineName)"
      return "\(name) submitted\(target)\(client.map { " by \($0)" } ?? "")\(what.isEmpty ? "" : " (\(what))")"
    case .restored: return "\(name) restored from the journal"
    case .waiting: return "\(name) waits for \(count == 1 ? "1 other task" : "\(count ?? 0) other tasks")"
    case .queued: return "\(name) queued: no engine is free for it"
    case .placed: return "\(name) placed on \(engineName)\(Self.after(submitted, time))"
    case .started: return "\(name) started"
    case .retried: return "\(name) goes back to the queue from \(engineName): \(retryText)"
    case .lost: return "\(name) lost with \(engineName): \(error ?? reason ?? "")"
    case .abortRequested: return "\(name) is to be aborted\(client.map { ", says \($0)" } ?? "")"
    case .aborted: return "\(name) aborted"
    case .resubmitted: return "\(name) submitted again\(other.map { " as \($0)" } ?? "")"
    case .finished: return finishedSentence(name, submitted: submitted, placed: placed)
    case .engineRegistered: return "\(engineName) registered\(engine.map { " (\($0))" } ?? "")"
    case .engineDraining: return "\(engineName) drains: it gets no more tasks"
    case .engineLost: return "\(engineName) lost: \(error ?? reason ?? "")"
    case .clientConnected: return "client \(client ?? "") connected"
    case .clientGone: return "client \(client ?? "") gone"
    case .controllerStarted: return "the controller started\(count.map { ", with \($0) tasks of the one before" } ?? "")"
    case .leftOut: return "\(count ?? 0) events came too fast to be noted"
    default: return "\(kind)\(task.map { " \($0)" } ?? "")"
    }
  }

  private var engineName: String { engineID.map { "engine \($0)" } ?? engine.map { "engine \($0)" } ?? "an engine" }

  private var retryText: String {
    switch reason {
    case "failed": "it failed, and has retries left\(error.map { ": \($0)" } ?? "")"
    case "unmet_dependency": "a functional dependency is not met there"
    case "engine_lost": "the engine was lost, and it has retries left"
    case "undelivered": "it never got there"
    default: reason ?? ""
    }
  }

  private func finishedSentence(_ name: String, submitted: Timestamp?, placed: Timestamp?) -> String {
    let end =
      switch outcome {
      case "ok": "ended well"
      case "error": "failed"
      case "aborted": "ended by an abort"
      case "lost": "ended with its engine"
      case "timed_out": "ended by its timeout"
      case "impossible": "can never run"
      case "refused": "was refused"
      default: "ended"
      }
    var text = "\(name) \(end)\(engine == nil ? "" : " on \(engineName)")\(Self.after(submitted, time))"
    if let began, let ended, ended >= began { text += ", ran \(Self.duration(began, ended))" }
    if let error, !error.isEmpty { text += ": \(error)" }
    return text
  }

  private static func after(_ start: Timestamp?, _ end: Timestamp) -> String {
    guard let start, end >= start else { return "" }
    return " after \(duration(start, end))"
  }

  /// `340 µs`, `12.5 ms`, `1.24 s`, `3 min 5 s`.
  package static func duration(_ start: Timestamp, _ end: Timestamp) -> String {
    duration(microseconds: end.microseconds - start.microseconds)
  }

  package static func duration(microseconds: Int) -> String {
    let time = max(0, microseconds)
    func decimal(_ value: Int, _ unit: Int, _ digits: Int) -> String {
      let scale = digits == 1 ? 10 : 100
      let scaled = (value * scale + unit / 2) / unit
      let fraction = String(scaled % scale)
      return "\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
    if time < 1000 { return "\(time) µs" }
    if time < 1_000_000 { return "\(decimal(time, 1000, 1)) ms" }
    if time < 60_000_000 { return "\(decimal(time, 1_000_000, 2)) s" }
    let seconds = time / 1_000_000
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    if seconds < 86_400 { return "\(seconds / 3600) h \(seconds / 60 % 60) min" }
    return "\(seconds / 86_400) d \(seconds / 3600 % 24) h"
  }
}
