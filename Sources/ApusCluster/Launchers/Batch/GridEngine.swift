/// Grid Engine, of whatever descent: one array of n tasks.
struct GridEngine: BatchSystem {
  static let name = "sge"
  static let title = "Grid Engine"
  static let classStem = "SGE"
  static let submitCommand = ["qsub"]
  static let deleteCommand = ["qdel"]
  static let killCommand: [String]? = ["qdel", "-f"]
  /// It sends none but those before an end.
  static let signalCommand: [String]? = nil
  static let scriptName = "sge_engines"
  static let firstIndex = 1
  static let indexVariables = "SGE_TASK_ID"

  func template(_ options: BatchOptions, engines: Int) -> String {
    var lines = [
      "#!/bin/sh", "#$ -V", "#$ -S /bin/sh", "#$ -N ipengine", "#$ -cwd", "#$ -j y", "#$ -o {output_file}", "#$ -t 1-{n}",
      "#$ -r n",
    ]
    lines += pairs(options).map { "#$ \($0) \($1)" }
    lines += ["exec >>{output_path}.$SGE_TASK_ID 2>&1", "exec {program_and_args}", ""]
    return lines.joined(separator: "\n")
  }

  private func pairs(_ options: BatchOptions) -> [(String, String)] {
    var pairs: [(String, String)] = []
    if !options.queue.isEmpty { pairs.append(("-q", options.queue)) }
    if !options.account.isEmpty { pairs.append(("-A", options.account)) }
    if !options.timeLimit.isEmpty { pairs.append(("-l", "h_rt=\(options.timeLimit)")) }
    return pairs
  }

  func arguments(_ options: BatchOptions) -> [String] {
    pairs(options).flatMap { [$0.0, $0.1] } + options.extra.split(whereSeparator: \.isWhitespace).map(String.init)
  }

  /// `Your job-array 3.1-2:1 ("ipengine") has been submitted`, or `3.1-2:1` with `-terse`.
  func jobID(in output: String) -> String? {
    for line in output.split(whereSeparator: \.isNewline) {
      let words = line.split(separator: " ").map(String.init)
      guard words.count == 1 || words.first == "Your", let word = words.count == 1 ? words.first : words.dropFirst(2).first else {
        continue
      }
      if let id = Slurm.leadingNumber(word[...]) { return id }
    }
    return nil
  }

  func names(_ job: BatchJob, engines: [Int]?) -> [String] {
    guard let engines else { return [job.id] }
    return engines.map { "\(job.id).\($0 + Self.firstIndex)" }
  }

  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState] {
    Self.states(of: jobs, qstat: try shell.output(["qstat"]))
  }

  /// The table of qstat: number first, state fifth, queue instance where it runs, and elements last (`3`, or `4-20:1` for those that wait).
  static func states(of jobs: [BatchJob], qstat text: String) -> [Int: EngineState] {
    var states: [Int: EngineState] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: " ").map(String.init)
      guard fields.count >= 8, let job = jobs.first(where: { $0.id == fields[0] }), let last = fields.last else { continue }
      let node = fields.dropFirst(7).first { $0.contains("@") }.flatMap { $0.split(separator: "@").last.map(String.init) } ?? ""
      // Without an array the last column is the number of slots.
      let elements =
        job.isArray
        ? IndexList.numbers(last, within: firstIndex..<firstIndex + job.engines.count) : Array(1...max(1, job.engines.count))
      for element in elements {
        let engine = job.engines.lowerBound &+ element &- firstIndex
        if job.engines.contains(engine) { states[engine] = state(fields[4], node) }
      }
    }
    return states
  }

  private static func state(_ letters: String, _ node: String) -> EngineState {
    if letters.contains("E") { return .waiting("in error (state \(letters)): 'qstat -explain E' tells why") }
    if letters.contains("q") { return .waiting(letters.contains("h") ? "held" : "") }
    return .running(node)
  }

  /// The accounting has it a moment later.
  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd? {
    guard known == nil else { return known }
    let element = job.place(of: engine) + Self.firstIndex
    guard let text = try? shell.output(["qacct", "-j", job.id] + (job.isArray ? ["-t", "\(element)"] : [])) else { return nil }
    return Self.end(qacct: text)
  }

  static func end(qacct text: String) -> EngineEnd? {
    var fields: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      guard let space = line.firstIndex(of: " ") else { continue }
      fields[String(line[..<space])] = String(line[space...]).trimmed
    }
    guard let status = fields["exit_status"]?.split(separator: " ").first.flatMap({ Int32($0) }) else { return nil }
    let failed = fields["failed"] ?? ""
    if let user = fields["deleted_by"], user != "NONE" { return .cancelled(by: user) }
    switch Int(failed.prefix { $0.isNumber }) ?? 0 {
    case 37: return .timeLimit
    case 0, 100: return .ofShell(status)
    case 25, 19, 20, 21, 22: return .nodeLost(fields["hostname"] ?? "")
    default: return .refused(failed)
    }
  }
}
