import ApusClient
import ApusCluster

/// Waits until a wish is carried out, or the launcher says why it is not.
struct WishFollower {
  private let context: CommandContext
  private let patience: Duration?
  private let progress: @Sendable (ScalingReport) -> WishProgress?
  /// What to say where another client wished something else afterwards.
  private let overtaken: @Sendable (ScalingReport) -> String

  /// Something is wrong where a wish takes longer than that: what is awaited is said, also where nobody looks at a terminal.
  private static let quietTime = Duration.seconds(5)
  /// What it waits for changes with each engine that comes or goes, and the launcher tells that to the controller.
  private static let pause = Duration.milliseconds(100)

  init(
    _ context: CommandContext, _ patience: Duration?, _ progress: @escaping @Sendable (ScalingReport) -> WishProgress?,
    overtaken: @escaping @Sendable (ScalingReport) -> String
  ) {
    (self.context, self.patience, self.progress, self.overtaken) = (context, patience, progress, overtaken)
  }

  /// - Parameter wish: tells the controller.
  func follow(_ client: Client, _ wish: () async throws -> ClusterScaling) async throws -> ExitCode {
    let made = try await wish()
    let deadline = patience.map { ContinuousClock.now + $0 }
    var said = (words: "", at: ContinuousClock.now)
    defer { context.output.progress(nil) }
    while true {
      let scaling = try await client.scaling()
      guard scaling.isSupervised else {
        throw ClusterError(
          .failure, "the launcher that watched over this cluster has gone: it stays as it is",
          advice: "'apus status' shows what there is.")
      }
      guard scaling.controller == made.controller else {
        throw ClusterError(
          .failure, "the controller was started again meanwhile, and may not have passed on what was asked for",
          advice: "'apus scale' shows what is wanted, and what was decided last.")
      }
      let report = ScalingReport(scaling.report)
      // Until the launcher has heard of it, it tells of an earlier one, or of one of an earlier controller.
      let own = report.flatMap { $0.controller == made.controller ? $0 : nil }
      let now = own.flatMap(progress).flatMap { $0.serial >= made.serial ? $0 : nil }
      if let now, now.serial > made.serial, let report { return end(.failure, "overtaken: \(overtaken(report))") }
      switch now?.state {
      case .done: return end(.success, now?.reason ?? "")
      case .kept: return end(.failure, now?.reason ?? "")
      case .refused: return end(.refused, now?.reason ?? "")
      case .underWay, nil: break
      }
      let reason = now?.reason ?? "the launcher has not heard of it yet"
      if let deadline, deadline <= .now { return end(.timedOut, "time is over: \(reason)") }
      context.output.progress(reason)
      if reason != said.words, ContinuousClock.now - said.at >= Self.quietTime {
        context.note(.info, reason)
        said = (reason, .now)
      }
      try await Task.sleep(for: Self.pause)
    }
  }

  private func end(_ code: ExitCode, _ words: String) -> ExitCode {
    context.note(code == .success ? .info : .warning, words)
    return code
  }
}
