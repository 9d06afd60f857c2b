/// HTCondor, whose script is a description: one cluster of n jobs.
struct HTCondor: BatchSystem {
  static let name = "htcondor"
  static let title = "HTCondor"
  static let classStem = "HTCondor"
  static let submitCommand = ["condor_submit"]
  static let deleteCommand = ["condor_rm"]
  static let killCommand: [String]? = ["condor_rm", "-forcex"]
  /// It has no command for that.
  static let signalCommand: [String]? = nil
  static let scriptName = "htcondor_engines"
  static let firstIndex = 0
  static let indexVariables = "APUS_CONDOR_PROCESS"

  func template(_ options: BatchOptions, engines: Int) -> String {
    var lines = [
      "universe            = vanilla", "executable          = {executable}", "transfer_executable = False",
      "arguments           = \"{arguments}\"", "getenv              = True", "output              = {output_file}.$(Process)",
      "error               = {output_file}.$(Process)",
    ]
    lines += settings(options)
    lines += ["queue {n}", ""]
    return lines.joined(separator: "\n")
  }

  private func settings(_ options: BatchOptions) -> [String] {
    var lines: [String] = []
    if !options.queue.isEmpty { lines.append("+Queue              = \"\(options.queue)\"") }
    if !options.account.isEmpty { lines.append("accounting_group    = \(options.account)") }
    if !options.timeLimit.isEmpty { lines.append("allowed_execute_duration = \(options.timeLimit)") }
    return lines
  }

  func arguments(_ options: BatchOptions) -> [String] {
    settings(options).flatMap { ["-append", $0] } + options.extra.split(whereSeparator: \.isWhitespace).map(String.init)
  }

  /// `2 job(s) submitted to cluster 12.`, or `12.0 - 12.1` with `-terse`.
  func jobID(in output: String) -> String? {
    for line in output.split(whereSeparator: \.isNewline) {
      if let mark = line.firstRange(of: "submitted to cluster "), let id = Slurm.leadingNumber(line[mark.upperBound...]) {
        return id
      }
      if let id = Slurm.leadingNumber(line), line.dropFirst(id.count).hasPrefix(".0") { return id }
    }
    return nil
  }

  func names(_ job: BatchJob, engines: [Int]?) -> [String] {
    guard let engines else { return [job.id] }
    return engines.map { "\(job.id).\($0)" }
  }

  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState] {
    let columns = ["ClusterId", "ProcId", "JobStatus", "RemoteHost", "HoldReasonCode", "HoldReason"]
    return Self.states(of: jobs, queue: try shell.output(["condor_q"] + jobs.map(\.id) + ["-af:,"] + columns))
  }

  static func states(of jobs: [BatchJob], queue text: String) -> [Int: EngineState] {
    var states: [Int: EngineState] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: ",", maxSplits: 5).map { String($0).trimmed }
      guard fields.count >= 3, let job = jobs.first(where: { $0.id == fields[0] }), let number = Int(fields[1]),
        job.engines.contains(job.engines.lowerBound &+ number)
      else { continue }
      func field(_ index: Int) -> String { fields.count > index && fields[index] != "undefined" ? fields[index] : "" }
      let state: EngineState? =
        switch fields[2] {
        case "1": .waiting("")
        case "2", "6", "7": .running(field(3).split(separator: "@").last.map(String.init) ?? "")
        case "3": .ended(.cancelled(by: ""))
        // 4 is completed: how, the history tells, to which it moves now.
        case "5": held(code: field(4), reason: field(5))
        default: nil
        }
      if let state { states[job.engines.lowerBound + number] = state }
    }
    return states
  }

  /// A job that cannot be run does not fail: it is held, and stays so until somebody looks. Code 1 is a person's hold.
  private static func held(code: String, reason: String) -> EngineState {
    switch code {
    case "1", "": return .waiting(reason.isEmpty ? "held" : "held: \(reason)")
    case "34": return .ended(.outOfMemory)
    case "46", "47": return .ended(.timeLimit)
    default: return .ended(.refused("held by HTCondor: \(reason)"))
    }
  }

  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd? {
    guard known == nil else { return known }
    let columns = ["JobStatus", "ExitCode", "ExitBySignal", "ExitSignal", "RemoveReason"]
    let words = ["condor_history", "\(job.id).\(job.place(of: engine))", "-limit", "1", "-af:,"] + columns
    guard let text = try? shell.output(words) else { return nil }
    return Self.end(history: text)
  }

  static func end(history text: String) -> EngineEnd? {
    guard let line = text.split(whereSeparator: \.isNewline).first else { return nil }
    let fields = line.split(separator: ",", maxSplits: 4).map { String($0).trimmed }
    guard fields.count == 5 else { return nil }
    if fields[0] == "3" {
      // `via condor_rm (by user user)`.
      guard let by = fields[4].firstRange(of: "by user ") else { return .cancelled(by: "") }
      return .cancelled(by: String(fields[4][by.upperBound...].prefix { $0 != ")" }))
    }
    if fields[2].lowercased() == "true", let signal = Int32(fields[3]) { return .signaled(signal) }
    return Int32(fields[1]).map { .ofShell($0) }
  }
}
