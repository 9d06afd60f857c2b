import ApusClient
import ApusCluster
import ApusMessaging
import UnixSignals

/// `apus status`.
struct StatusCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    let connection = try ClusterConnection(context)
    let isJSON = try context.printsJSON
    let pause = try context.duration("watch")
    let interval = try context.configuration.double("interval", of: context.command.application).map { Duration.seconds($0) }
    return try await connection.withClient { client in
      if let pause {
        try await watch(client, connection.path, every: max(pause, .milliseconds(50)), isJSON: isJSON)
        return .success
      }
      let first = try await Self.look(client, connection.path)
      var report = first.report
      let between = interval ?? .milliseconds(500)
      if between > .zero, !report.engines.isEmpty {
        try await Task.sleep(for: between)
        let second = try await Self.look(client, connection.path)
        report = second.report
        report.measure(since: first.report, seconds: (second.at - first.at) / .seconds(1))
      }
      report.ended = context.endedEngines(at: connection.path)
      // Stock controllers know nothing of it.
      report.scaling = (try? await client.scaling()).flatMap { $0.isSupervised ? ScalingReport($0.report) : nil }
      if isJSON {
        context.output.print(String(decoding: report.json.encoded(pretty: true), as: UTF8.self) + "\n")
      } else {
        context.output.print(report.text(isStyled: context.output.isOutputColoured))
      }
      return .success
    }
  }

  private func watch(_ client: Client, _ path: String, every pause: Duration, isJSON: Bool) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { return } }
      group.addTask {
        if !isJSON, context.output.isOutputInteractive { context.output.print("\u{1B}[2J") }
        try await lookOnAndOn(client, path, every: pause, isJSON: isJSON)
      }
      // Whichever comes first: the signal, or what went wrong.
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  /// At every change, and once more after the last one: only then is it seen that nothing goes on.
  private func lookOnAndOn(_ client: Client, _ path: String, every pause: Duration, isJSON: Bool) async throws {
    var changes = ClusterChanges(client)
    var before: (report: StatusReport, at: ContinuousClock.Instant)?
    var isQuiet = false
    while !Task.isCancelled {
      if isQuiet { try await changes.wait() }
      // What happens from here on is news for the next look.
      try await changes.mark()
      var now = try await Self.look(client, path)
      if let before { now.report.measure(since: before.report, seconds: (now.at - before.at) / .seconds(1)) }
      isQuiet = before.map { $0.report.isQuiet && now.report.isQuiet } ?? false
      before = now
      show(now.report, isJSON: isJSON)
      try await Task.sleep(for: pause)
    }
  }

  private func show(_ report: StatusReport, isJSON: Bool) {
    if isJSON { return context.output.print(report.json.text + "\n") }
    let text = report.text(isStyled: context.output.isOutputColoured)
    // Over the last one: home, each line to its end, and what is left below.
    let drawn = text.replacing("\n", with: "\u{1B}[K\n")
    context.output.print(context.output.isOutputInteractive ? "\u{1B}[H\(drawn)\u{1B}[J" : text + "\n")
  }

  private static func look(_ client: Client, _ path: String) async throws -> (report: StatusReport, at: ContinuousClock.Instant) {
    let status = try await client.queueStatus()
    let at = ContinuousClock.now
    let file = client.connectionFile
    let host = ControllerAddress.resolve(host: file.host, location: file.location)
    // The hub's answer counts: who left since is listed there no more, and who came is not yet.
    let engines = client.engines.compactMap { engine -> StatusReport.Engine? in
      guard let queue = status.engines[engine.id] else { return nil }
      return StatusReport.Engine(
        id: engine.id.number, uuid: engine.uuid.text, kind: engine.kind.rawValue, queued: queue.queued, tasks: queue.tasks,
        completed: queue.completed)
    }
    var report = StatusReport(
      controller: file.endpoint(port: file.registration, host: host), source: path, engines: engines, unassigned: status.unassigned)
    report.journal = JournalReport(besideConnectionFile: path)
    return (report, at)
  }
}
