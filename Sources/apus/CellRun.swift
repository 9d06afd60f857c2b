import ApusClient
import ApusCluster
import ApusMessaging
import Glibc
import Synchronization
import UnixSignals

/// Python code that runs on engines while somebody watches: `apus px` and `apus run`.
struct CellRun {
  private let context: CommandContext
  private let connection: ClusterConnection
  private let targets: TargetExpression
  private let timeout: Duration?
  private let isJSON: Bool
  private let isStreamed: Bool

  /// How long engines may take to answer after the time was over: a first traceback is a second of computing, and many engines may share a
  /// processor. After Ctrl-C they may take as long as they do, for somebody is there to give up.
  private static let grace = Duration.seconds(10)
  /// How long an engine that was told to abort may go on before it gets the signal that engines of ipyparallel know.
  private static let patience = Duration.seconds(2)
  /// Tracebacks that are printed whole; of further engines the error alone is.
  private static let wholeTracebacks = 4

  init(_ context: CommandContext) throws(ClusterError) {
    self.context = context
    let application = context.command.application
    connection = try ClusterConnection(context)
    targets = try TargetExpression(try context.configuration.string("targets", of: application) ?? "all")
    timeout = try context.duration("timeout")
    isJSON = try context.printsJSON
    isStreamed = try context.configuration.bool("stream", of: application) ?? false
    if isStreamed, !isJSON {
      throw ClusterError(
        .usage, "--stream is about JSON", advice: "Write --json --stream; without --json output comes as it happens anyway.")
    }
  }

  /// - Parameter label: what the task database calls the tasks.
  func run(_ code: String, label: String) async throws(ClusterError) -> ExitCode {
    var configuration = ClientConfiguration()
    configuration.maximumOutputBytes = 256 << 20
    return try await connection.withClient(configuration) { client in
      let tasks = try await client.directView(.engines(try engines(of: client))).execute(code, label: label)
      let ending = await watch(tasks, client)
      return report(tasks, ending)
    }
  }

  /// Python code needs Python engines: of a mixed cluster only those are meant, unless others are named.
  private func engines(of client: Client) throws(ClusterError) -> [EngineID] {
    let all = client.engines
    let python = all.filter { $0.kind == .python }
    if case .ids = targets {
      let ids = try targets.select(among: all.map(\.id.number)).map { EngineID($0) }
      if let other = all.first(where: { ids.contains($0.id) && $0.kind != .python }) {
        throw ClusterError(
          .missing, "engine \(other.id) is a \(other.kind) engine and does not run Python", advice: "'apus status' shows the kinds."
        )
      }
      return ids
    }
    if python.isEmpty, !all.isEmpty {
      throw ClusterError(
        .missing, "none of the \(all.count) engines runs Python",
        advice: "Add some with 'apus engines -n 2'; 'apus status' shows the kinds.")
    }
    return try targets.select(among: python.map(\.id.number)).map { EngineID($0) }
  }

  // MARK: while it runs

  /// How it ended. The first reason counts: what was interrupted answers in the end, and has not simply finished.
  private final class Ending: Sendable {
    enum Reason: Sendable { case finished, timedOut, interrupted }
    private let settled = Mutex(Reason.finished)
    var reason: Reason { settled.withLock { $0 } }
    /// - Returns: whether it is the first.
    func settle(_ reason: Reason) -> Bool {
      settled.withLock {
        guard case .finished = $0 else { return false }
        $0 = reason
        return true
      }
    }
  }

  /// Prints what comes until all have answered, or the time is over, or somebody has had enough.
  private func watch(_ tasks: TaskSet, _ client: Client) async -> Ending.Reason {
    let ending = Ending()
    let (output, timeout) = (context.output, timeout)
    return await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        await show(tasks)
        return true
      }
      if let timeout {
        group.addTask {
          guard (try? await Task.sleep(for: timeout)) != nil, !tasks.isDone else { return false }
          if ending.settle(.timedOut) { tasks.cancel() }
          return (try? await Task.sleep(for: Self.grace)) != nil
        }
      }
      group.addTask {
        for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
          // What was interrupted already, by whatever, is left to it.
          guard ending.settle(.interrupted) else { return true }
          tasks.cancel()
          output.note(.info, "interrupting the engines; Ctrl-C again leaves them to it")
        }
        return false
      }
      group.addTask {
        while (try? await Task.sleep(for: .milliseconds(100))) != nil {
          if ending.reason == .finished { continue }
          guard (try? await Task.sleep(for: Self.patience)) != nil else { return false }
          let open = tasks.filter { $0.status == .outstanding }.compactMap { $0.engine?.id.number }.sorted().map(String.init)
          guard !open.isEmpty else { return false }
          let ids = open.prefix(8).joined(separator: ", ") + (open.count > 8 ? ", …" : "")
          let (what, them) = open.count == 1 ? ("engine", "it") : ("engines", "them")
          output.note(.info, "waiting for \(what) \(ids) to end it; Ctrl-C leaves \(them) to it")
          await Self.signal(tasks, client)
          return false
        }
        return false
      }
      for await isOver in group where isOver { break }
      group.cancelAll()
      return ending.reason
    }
  }

  /// Engines of ipyparallel do not interrupt what an abort names, but heed a signal; only where nobody else's task could be hit.
  private static func signal(_ tasks: TaskSet, _ client: Client) async {
    guard let outstanding = try? await client.outstandingTasks() else { return }
    for task in tasks where task.status == .outstanding {
      guard let engine = task.engine?.id, outstanding.engines[engine] == [task.id] else { continue }
      try? await client.signal(SIGINT, on: .engine(engine))
    }
  }

  private func show(_ tasks: TaskSet) async {
    var lines = PrefixedLines()
    for await (engine, event) in tasks.outputEvents {
      let id = engine?.number ?? -1
      if isJSON {
        if isStreamed, let line = Self.json(event, engine: id) { context.output.print(line.text + "\n") }
        continue
      }
      switch event {
      case .stdout(let text): write(lines.add(text, to: prefix("stdout", id)), STDOUT_FILENO)
      case .stderr(let text): write(lines.add(text, to: prefix("stderr", id)), STDERR_FILENO)
      case .display(let data, _):
        write(lines.finish(prefix("stdout", id)), STDOUT_FILENO)
        let text = data["text/plain"]?.stringValue ?? "a display of the types \(data.keys.joined(separator: ", "))"
        write(lines.add(text + "\n", to: prefix("output", id)), STDOUT_FILENO)
      case .result, .error, .other: break
      }
    }
    for task in tasks {
      guard let id = task.engine?.id.number else { continue }
      write(lines.finish(prefix("stdout", id)), STDOUT_FILENO)
      write(lines.finish(prefix("stderr", id)), STDERR_FILENO)
    }
    // An engine says that it is idle before or after it answers.
    if !Task.isCancelled { for task in tasks { _ = try? await task.reply(within: .seconds(5)) } }
  }

  private func write(_ text: String, _ descriptor: Int32) {
    if text.isEmpty { return }
    if descriptor == STDOUT_FILENO { Terminal.printResult(text) } else { Terminal.write(text, to: descriptor) }
  }

  private func prefix(_ stream: String, _ engine: Int) -> String {
    let name = "[\(stream):\(engine)]"
    let isError = stream == "stderr"
    guard isError ? context.output.isErrorColoured : context.output.isOutputColoured else { return name }
    return (isError ? TerminalStyle.yellow : .cyan).applied(to: name)
  }

  private static func json(_ event: TaskOutput.Event, engine: Int) -> JSONValue? {
    switch event {
    case .stdout(let text): ["engine": .int(engine), "stream": "stdout", "text": .string(text)]
    case .stderr(let text): ["engine": .int(engine), "stream": "stderr", "text": .string(text)]
    case .display(let data, _): ["engine": .int(engine), "stream": "display", "data": .object(data)]
    case .result, .error, .other: nil
    }
  }

  // MARK: afterwards

  private func report(_ tasks: TaskSet, _ ending: Ending.Reason) -> ExitCode {
    let cells = tasks.map { Self.cell($0) }.sorted { $0.engine < $1.engine }
    let exitCode: ExitCode =
      switch ending {
      case .interrupted: .interrupted
      case .timedOut: .timedOut
      case .finished: cells.allSatisfy { $0.status == .ok } ? .success : .failure
      }
    let status =
      switch ending {
      case .interrupted: "interrupted"
      case .timedOut: "timeout"
      case .finished: exitCode == .success ? "ok" : "error"
      }
    if isStreamed {
      for cell in cells { context.output.print(cell.json.text + "\n") }
    } else if isJSON {
      let document: JSONValue = ["status": .string(status), "engines": .array(cells.map(\.json))]
      context.output.print(String(decoding: document.encoded(pretty: true), as: UTF8.self) + "\n")
    } else {
      show(cells, wasEnded: ending != .finished)
    }
    let unanswered = cells.filter { $0.status == .unanswered }.map { String($0.engine) }
    if ending == .timedOut { context.output.note(.error, "the time was over (--timeout): what ran was interrupted") }
    if !unanswered.isEmpty {
      context.output.note(.warning, "no answer from engine \(unanswered.joined(separator: ", ")): the code still runs there")
    }
    for task in tasks where task.output.isTruncated {
      context.output.note(.warning, "output of engine \(task.engine?.id.description ?? "?") above 256 MB was dropped")
    }
    return exitCode
  }

  /// - Parameter wasEnded: by us, which a traceback need not prove.
  private func show(_ cells: [CellReport], wasEnded: Bool) {
    for cell in cells {
      if let text = cell.resultText(isStyled: context.output.isOutputColoured) { write(text, STDOUT_FILENO) }
    }
    let failed = cells.filter { $0.error != nil }
    for (index, cell) in failed.enumerated() {
      let isBrief = index >= Self.wholeTracebacks || wasEnded && cell.error?.name == "KeyboardInterrupt"
      if let text = cell.errorText(isStyled: context.output.isErrorColoured, isBrief: isBrief) { write(text, STDERR_FILENO) }
    }
    guard let first = failed.first, let error = first.error else { return }
    let ids = failed.map { String($0.engine) }
    let others = failed.count == 1 ? "" : " and \(failed.count - 1) more (\(ids.dropFirst().joined(separator: ", ")))"
    context.output.note(.error, "failed on engine \(first.engine)\(others): \(TerminalStyle.printable(error.description))")
  }

  private static func cell(_ task: TaskHandle) -> CellReport {
    let output = task.output
    var cell = CellReport(
      engine: task.engine?.id.number ?? -1, status: .unanswered, stdout: output.stdout, stderr: output.stderr,
      displays: output.displays.compactMap { $0["text/plain"]?.stringValue }, result: output.result?["text/plain"]?.stringValue)
    for case .result(_, _, let count) in output.events { cell.count = count }
    switch task.result {
    case nil: break
    case .success(let reply):
      cell.status = .ok
      cell.count = reply.content["execution_count"]?.intValue ?? cell.count
      if let started = reply.started, let completed = reply.completed {
        cell.seconds = Double(max(0, completed.microseconds - started.microseconds)) / 1_000_000
      }
    case .failure(let error as RemoteError):
      cell.status = error.isAborted ? .aborted : error.isEngineLoss ? .lost : .error
      cell.error = error
    case .failure(let error):
      cell.status = .lost
      cell.error = RemoteError(name: "ClientError", value: "\(error)")
    }
    return cell
  }
}
