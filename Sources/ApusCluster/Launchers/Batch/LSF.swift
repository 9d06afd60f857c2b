import ApusProcess
/// LSF, whose script comes on standard input: one array of n jobs.
struct LSF: BatchSystem {
  static let name = "lsf"
  static let title = "LSF"
  static let classStem = "LSF"
  static let submitCommand = ["bsub"]
  static let deleteCommand = ["bkill"]
  static let killCommand: [String]? = ["bkill", "-s", "KILL"]
  static let signalCommand: [String]? = ["bkill", "-s"]
  static let scriptName = "lsf_engines"
  static let readsScriptFromInput = true
  static let firstIndex = 1
  static let indexVariables = "LSB_JOBINDEX"

  func template(_ options: BatchOptions, engines: Int) -> String {
    var lines = ["#!/bin/sh", "#BSUB -J ipengine[1-{n}]", "#BSUB -env all", "#BSUB -oo {output_file}", "#BSUB -rn"]
    lines += pairs(options).map { "#BSUB \($0) \($1)" }
    lines += ["exec >>{output_path}.$LSB_JOBINDEX 2>&1", "exec {program_and_args}", ""]
    return lines.joined(separator: "\n")
  }

  private func pairs(_ options: BatchOptions) -> [(String, String)] {
    var pairs: [(String, String)] = []
    if !options.queue.isEmpty { pairs.append(("-q", options.queue)) }
    if !options.account.isEmpty { pairs.append(("-P", options.account)) }
    if !options.timeLimit.isEmpty { pairs.append(("-W", options.timeLimit)) }
    return pairs
  }

  func arguments(_ options: BatchOptions) -> [String] {
    pairs(options).flatMap { [$0.0, $0.1] } + options.extra.split(whereSeparator: \.isWhitespace).map(String.init)
  }

  /// `Job <123> is submitted to queue <normal>.`, with warnings before it.
  func jobID(in output: String) -> String? {
    for line in output.split(whereSeparator: \.isNewline) {
      guard let mark = line.firstRange(of: "Job <"), let id = Slurm.leadingNumber(line[mark.upperBound...]) else { continue }
      return id
    }
    return nil
  }

  func names(_ job: BatchJob, engines: [Int]?) -> [String] {
    guard let engines else { return [job.id] }
    return engines.map { "\(job.id)[\($0 + Self.firstIndex)]" }
  }

  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState] {
    let format = "jobid jobindex stat exit_code exec_host exit_reason pend_reason delimiter='|'"
    let words = ["bjobs", "-a", "-noheader", "-o", format] + jobs.map(\.id)
    let result = try shell.run(words)
    guard result.isSuccess || result.errors.contains("is not found") || result.errors.contains("No job found") else {
      throw BatchShell.failure(words, result)
    }
    return Self.states(of: jobs, bjobs: result.output)
  }

  static func states(of jobs: [BatchJob], bjobs text: String) -> [Int: EngineState] {
    var states: [Int: EngineState] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let fields = line.split(separator: "|", omittingEmptySubsequences: false).map { String($0).trimmed }
      // Older versions write `12[3]` where newer ones have a number and an index.
      guard fields.count >= 6, let id = Slurm.leadingNumber(fields[0][...]), let job = jobs.first(where: { $0.id == id }) else {
        continue
      }
      let index = Int(fields[1]) ?? PBS.numbers(fields[0]).1 ?? 0
      guard let state = state(fields) else { continue }
      let engine = job.engines.lowerBound &+ (max(index, firstIndex) - firstIndex)
      if job.engines.contains(engine) { states[engine] = state }
    }
    return states
  }

  private static func state(_ fields: [String]) -> EngineState? {
    func text(_ index: Int) -> String { fields.count > index && fields[index] != "-" ? fields[index] : "" }
    switch fields[2] {
    case "PEND", "WAIT": return .waiting(text(6))
    case "PSUSP": return .waiting("held")
    case "RUN", "USUSP", "SSUSP", "PROV": return .running(text(4))
    // Its host does not answer: LSF says ZOMBI when it has given it up.
    case "UNKWN": return .running(text(4))
    case "ZOMBI": return .ended(.nodeLost(text(4)))
    case "DONE": return .ended(.exited(0))
    case "EXIT": return .ended(end(Int32(text(3)) ?? 1, text(5), node: text(4)))
    default: return nil
    }
  }

  private static func end(_ code: Int32, _ reason: String, node: String) -> EngineEnd {
    if reason.contains("RUNLIMIT") || reason.contains("DEADLINE") || reason.contains("CPULIMIT") { return .timeLimit }
    if reason.contains("MEMLIMIT") || reason.contains("SWAP") { return .outOfMemory }
    if reason.contains("TERM_OWNER") { return .cancelled(by: "its owner") }
    if reason.contains("TERM_ADMIN") { return .cancelled(by: "an administrator") }
    if reason.contains("TERM_PREEMPT") { return .cancelled(by: "a job of higher priority (preempted)") }
    if reason.contains("TERM_ZOMBIE") || reason.contains("TERM_OTHER_HOST") { return .nodeLost(node) }
    return .ofShell(code)
  }

  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd? { known }
}
