import ApusProcess

/// Runs the commands of a batch system.
struct BatchShell: Sendable {
  let environment: Environment
  /// Of the system, as people know it.
  let title: String
  /// How long one command may take.
  var limit: Duration = .seconds(60)
  /// When whoever asks wants to have been answered.
  var deadline: Duration?

  /// - Throws: where the program is not there, or does not end in time; how it ended is the caller's to judge.
  /// - Parameter record: file that gets what the command says, for others than us.
  func run(_ words: [String], input: String = "", record: String? = nil) throws(ClusterError) -> ToolCommand.Result {
    let result = try attempt(words, input: input, record: record)
    guard result.status != nil else { throw late(words, result) }
    return result
  }

  func late(_ words: [String], _ result: ToolCommand.Result) -> ClusterError {
    ClusterError(.refused, "\(words.first ?? "") did not end within \(result.elapsed.secondsText)\(Self.said(result))")
  }

  /// The same of a command that may have done what it was to do when its time was over.
  func attempt(_ words: [String], input: String = "", record: String? = nil) throws(ClusterError) -> ToolCommand.Result {
    let limit = deadline.map { max(.seconds(1), min(self.limit, $0 - MonotonicClock.now)) } ?? self.limit
    do throws(ProcessError) {
      var tool = ToolCommand(words, environment: environment, input: input, limit: limit)
      tool.record = record
      return try tool.run()
    } catch {
      throw ClusterError(
        ClusterError(error).exitCode, error.reason,
        advice: "Is \(title) installed on this machine, and are its commands on PATH?")
    }
  }

  /// The output of a command that must succeed.
  func output(_ words: [String]) throws(ClusterError) -> String {
    let result = try run(words)
    guard result.isSuccess else { throw Self.failure(words, result) }
    return result.output
  }

  static func failure(_ words: [String], _ result: ToolCommand.Result) -> ClusterError {
    ClusterError(
      .refused, "\(ShellText.line(words)) failed with \(result.status.map { "\($0)" } ?? "no answer")\(said(result))")
  }

  /// The command's own words.
  private static func said(_ result: ToolCommand.Result) -> String {
    let lines = (result.errors + "\n" + result.output).split(whereSeparator: \.isNewline).map { "  \($0)" }
    return lines.isEmpty ? ", and said nothing" : ":\n" + lines.prefix(20).joined(separator: "\n")
  }
}
