import ApusProcess
/// PBS: OpenPBS and PBS Pro, and Torque: one array of n jobs. And Slurm's commands of these names: n jobs.
struct PBS: BatchSystem {
  static let name = "pbs"
  static let title = "PBS"
  static let classStem = "PBS"
  static let submitCommand = ["qsub"]
  static let deleteCommand = ["qdel"]
  static let killCommand: [String]? = ["qdel", "-W", "force"]
  static let signalCommand: [String]? = ["qsig", "-s"]
  static let scriptName = "pbs_engines"
  static let firstIndex = 1
  static let indexVariables = "PBS_ARRAY_INDEX,PBS_ARRAYID"

  /// They have other options for the same.
  private enum Dialect: Sendable, Hashable {
    case torque, openPBS
    /// Slurm's for those who come from Torque: they tell nothing of an array's elements, nor how a job ended.
    case slurm
  }
  private var dialect = Dialect.torque
  private var isOpenPBS: Bool { dialect == .openPBS }

  mutating func prepare(_ shell: BatchShell) {
    guard let result = try? shell.run(["qstat", "--version"]) else { return }
    let words = result.output + result.errors
    if words.contains("pbs_version") { dialect = .openPBS }
    if words.contains("Unknown option: version") { dialect = .slurm }
  }

  var followsArrays: Bool { dialect != .slurm }

  func template(_ options: BatchOptions, engines: Int) -> String {
    var lines = ["#!/bin/sh", "#PBS -V", "#PBS -N ipengine", "#PBS -j oe", "#PBS -o {output_file}"]
    // OpenPBS has no arrays of one, and Torque counts by another option.
    switch dialect {
    case .torque: lines.append("#PBS -t 1-{n}")
    case .openPBS: if engines > 1 { lines.append("#PBS -J 1-{n}") }
    case .slurm: break
    }
    lines += pairs(options).map { "#PBS \($0) \($1)" }
    lines += ["exec >>{output_path}.${{PBS_ARRAY_INDEX:-${{PBS_ARRAYID:-1}}}} 2>&1", "exec {program_and_args}", ""]
    return lines.joined(separator: "\n")
  }

  private func pairs(_ options: BatchOptions) -> [(String, String)] {
    var pairs: [(String, String)] = []
    if !options.queue.isEmpty { pairs.append(("-q", options.queue)) }
    if !options.account.isEmpty { pairs.append(("-A", options.account)) }
    if !options.timeLimit.isEmpty { pairs.append(("-l", "walltime=\(options.timeLimit)")) }
    return pairs
  }

  func arguments(_ options: BatchOptions) -> [String] {
    pairs(options).flatMap { [$0.0, $0.1] } + options.extra.split(whereSeparator: \.isWhitespace).map(String.init)
  }

  /// `1234.server`, `1234[].server`: the whole of it, without which an array cannot be named.
  func jobID(in output: String) -> String? {
    output.split(whereSeparator: \.isNewline).map { String($0).trimmed }.last {
      $0.first.map { $0.isASCII && $0.isNumber } == true && !$0.contains(" ")
    }
  }

  func names(_ job: BatchJob, engines: [Int]?) -> [String] {
    guard let engines, let bracket = job.id.firstRange(of: "[]") else { return [job.id] }
    return engines.map { job.id.replacingCharacters(in: bracket, with: "[\($0 + Self.firstIndex)]") }
  }

  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState] {
    let words = ["qstat"] + (isOpenPBS ? ["-x"] : []) + ["-f"] + (dialect == .slurm ? [] : ["-t"]) + jobs.map(\.id)
    let result = try shell.run(words)
    // Of several, those that are known are listed all the same.
    let isUnknown =
      dialect == .slurm && result.status == .exited(153)
      || ["Unknown Job Id", "has finished"].contains { result.errors.contains($0) || result.output.contains($0) }
    guard result.isSuccess || isUnknown else { throw BatchShell.failure(words, result) }
    return Self.states(of: jobs, qstat: result.output)
  }

  static func states(of jobs: [BatchJob], qstat text: String) -> [Int: EngineState] {
    var states: [Int: EngineState] = [:]
    for record in records(text) {
      let (number, index) = numbers(record.id)
      guard let job = jobs.first(where: { numbers($0.id).0 == number }), let state = state(record.fields) else { continue }
      if let index {
        let engine = job.engines.lowerBound &+ index &- firstIndex
        if job.engines.contains(engine) { states[engine] = state }
      } else {
        // The array itself, or a job of one.
        for engine in job.engines where states[engine] == nil { states[engine] = state }
      }
    }
    return states
  }

  /// Number of the job, and of the element where one is named: `1234[2].server`, `1234-2.server`, `1234_2`.
  static func numbers(_ id: String) -> (String, Int?) {
    let number = id.prefix { $0.isNumber }
    var rest = id.dropFirst(number.count)
    guard let sign = rest.first, "[-_".contains(sign) else { return (String(number), nil) }
    rest = rest.dropFirst()
    return (String(number), Int(rest.prefix { $0.isNumber }))
  }

  private static func records(_ text: String) -> [(id: String, fields: [String: String])] {
    var records: [(id: String, fields: [String: String])] = []
    for line in text.split(whereSeparator: \.isNewline) {
      if let mark = line.firstRange(of: "Job Id:") {
        records.append((String(line[mark.upperBound...]).trimmed, [:]))
      } else if let equals = line.firstRange(of: " = "), !records.isEmpty {
        let name = String(line[..<equals.lowerBound]).trimmed.lowercased()
        records[records.count - 1].fields[name] = String(line[equals.upperBound...]).trimmed
      }
    }
    return records
  }

  private static func state(_ fields: [String: String]) -> EngineState? {
    let node = fields["exec_host"].map { String($0.prefix { $0 != "/" }) } ?? ""
    switch fields["job_state"] {
    case "Q", "W", "T", "M": return .waiting(fields["comment"] ?? "")
    case "H": return .waiting("held")
    case "R", "E", "S", "B", "U": return .running(node)
    case "C", "F", "X":
      guard let code = fields["exit_status"].flatMap({ Int32($0) }) else { return .ended(.cancelled(by: "")) }
      return .ended(end(code, node: node))
    default: return nil
    }
  }

  /// Beyond 255 a signal ended it; negative numbers are PBS's own.
  private static func end(_ code: Int32, node: String) -> EngineEnd {
    switch code {
    case -29: .timeLimit
    case -27, -28: .outOfMemory
    case -11, -4, -3: .nodeLost(node)
    case 257..<256 + 65: .signaled(code - 256)
    case ..<0: .vanished("PBS's code \(code)")
    default: .ofShell(code)
    }
  }

  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd? {
    guard dialect == .slurm else { return known }
    guard case .ended(let end) = try? Slurm().list([job], shell)[engine] else { return known }
    return Slurm().end(of: engine, in: job, known: end, shell) ?? end
  }
}

extension String {
  func replacingCharacters(in range: Range<Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
