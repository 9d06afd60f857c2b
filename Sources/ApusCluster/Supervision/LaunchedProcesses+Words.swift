import ApusProcess
import ApusMessaging

/// What people are told.
extension LaunchedProcesses {
  mutating func report(_ report: ClusterReport) {
    switch report {
    case .progress(let count, let all): announcer.show(progress: "\(count) of \(all) engines ready")
    case .ready(let count, let all, let duration):
      let engines = count == all ? "\(all) \(all == 1 ? "engine" : "engines")" : "\(count) of \(all) engines"
      let address = controllerAddress.map { ", controller at \($0)" } ?? ""
      announcer.announce(ready: "\(engines) ready after \(duration.secondsText): \(place)\(address)")
    case .engineEnded(let index, let end): engineEnded(index, end)
    case .engineLeft(let index):
      announcer.say(.info, "engine \(index) has ended, as it was asked to")
    case .engineRestarts(let index, let delay):
      note(index, "started again after \(delay.secondsText)")
      announcer.say(.info, "engine \(index) is started again in \(delay.secondsText)")
    case .engineGivenUp(let index, let count):
      note(index, "given up after \(count) restarts in a row")
      announcer.say(
        .warning, "engine \(index) has ended \(count + 1) times in a row, each time soon after its start: it is given up")
    case .engineReturned(let index):
      note(index, EndedEngine.hasReturned)
      announcer.say(.info, "engine \(index) is there again: its system has started its job anew")
    case .scaling(let reason): announcer.say(.info, reason)
    case .waiting(let count, let reason):
      let many = count == 1 ? "1 engine waits" : "\(count) engines wait"
      announcer.say(.info, "\(many) in the queue\(reason.isEmpty ? "" : " (\(reason))"): \(waitingPlace)")
    case .gaveUp(let engines, let includesController):
      let parts = [engines.isEmpty ? nil : ClusterLifecycle.engines(engines.count), includesController ? "the controller" : nil]
        .compactMap {
          $0
        }
      announcer.say(
        .error,
        "\(parts.joined(separator: " and ")) did not end, and may run still: 'apus stop' tries it again; \(clusterFile) names them")
    case .controllerWaits(let reason):
      let job = jobs(in: controllerState)
      announcer.say(
        .info,
        "the controller waits in the queue\(reason.isEmpty ? "" : " (\(reason))"): \(job.isEmpty ? "" : "job \(job), ")Ctrl-C stops waiting"
      )
    case .allEnginesEnded(let early): allEnginesEnded(early: early)
    case .controllerEnded(let status, let early): controllerEnded(status, early: early)
    case .controllerRestarts(let status, let delay):
      announcer.say(
        .warning, "the controller died, with \(status)\(controllerEnding)\nIt is started again in \(delay.secondsText)")
      controller = nil
    case .controllerTimedOut(let time):
      announcer.say(
        .error,
        configuration.plan.ownsController
          ? "the controller wrote no connection files within \(time.secondsText)\(controllerEnding)"
          : "no controller answers in \(configuration.profile.location)\nStart one with 'apus start' or 'apus controller'")
    case .enginesTimedOut(let count, let all, let time):
      announcer.say(
        .error,
        "only \(count) of \(all) engines registered within \(time.secondsText); see their logs in \(configuration.profile.log)")
    case .interrupting: announcer.say(.info, "interrupting the engines; SIGTERM stops them")
    case .stopping: announcer.say(.info, "stopping the cluster")
    case .killing(becauseAsked: true): announcer.say(.warning, "asked a second time: what has not ended yet is killed (SIGKILL)")
    case .killing(becauseAsked: false):
      announcer.say(.warning, "not everything ended within \(configuration.plan.killAfter.secondsText) of SIGTERM: SIGKILL")
    }
  }

  private mutating func note(_ index: Int, _ consequence: String) {
    if let place = ended.lastIndex(where: { $0.index == index && $0.set == setID }) { ended[place].consequence = consequence }
  }

  /// Which jobs those are.
  private var waitingPlace: String {
    let jobs = jobs(in: setState)
    return jobs.isEmpty ? "Ctrl-C stops waiting" : "job \(jobs); Ctrl-C stops waiting"
  }

  private func jobs(in state: JSONObject?) -> String {
    (state?["apus"]?["jobs"]?.arrayValue?.compactMap { $0["id"]?.stringValue } ?? []).prefix(5).joined(separator: ", ")
  }

  /// How clients find the cluster.
  private var place: String {
    let id = configuration.clusterID.isEmpty ? "" : ", cluster id '\(configuration.clusterID)'"
    return "profile \(configuration.profile.location)\(id)"
  }

  private func engineEnded(_ index: Int, _ end: EngineEnd) {
    guard let engine = ended.last(where: { $0.index == index }) else { return }
    if end.isSuccess { return announcer.say(.info, "engine \(index) (\(engine.place)) has ended") }
    let last = engine.lines.isEmpty ? "" : ". Its last words:\n" + engine.lines.map { "  \($0)" }.joined(separator: "\n")
    let verb =
      switch end {
      case .exited, .signaled, .timeLimit, .outOfMemory, .nodeLost: "died with"
      case .cancelled: "was"
      case .refused, .vanished: "is gone:"
      }
    announcer.say(.warning, "engine \(index) (\(engine.place)) \(verb) \(end)\(last)")
  }

  private mutating func allEnginesEnded(early: Bool) {
    guard early else { return announcer.say(.info, "all engines have ended") }
    announcer.say(
      .error,
      """
      all engines died within \(configuration.plan.earlyShutdown.secondsText) of their start: the cluster is stopped
      Their last words are above. 'apus engine --python=…' starts one by hand, in the foreground.
      """)
  }

  private mutating func controllerEnded(_ end: EngineEnd, early: Bool) {
    let (log, words) = (controller?.outputFile, controllerEnding)
    controller = nil
    hasLostController = !end.isSuccess
    // What was refused is said already.
    if case .refused = end { return }
    if end.isSuccess, !early {
      if let log { finishedLogs.append(log) }
      return announcer.say(.info, "the controller has ended: stopping the cluster")
    }
    let verb =
      switch end {
      case .exited, .signaled, .timeLimit, .outOfMemory, .nodeLost: early ? "ended before it was ready, with" : "died, with"
      case .cancelled: "was"
      case .refused, .vanished: "is gone:"
      }
    let place = controllerEnd.map { " (\($0.place))" } ?? ""
    announcer.say(
      .error, "the controller\(place) \(verb) \(end)\(givenUp(end, early: early))\(words)\(journalAdvice(end, early: early))")
  }

  private func givenUp(_ end: EngineEnd, early: Bool) -> String {
    let limit = configuration.plan.restartLimit
    guard configuration.plan.restartsController, !early, limit > 0 else { return "" }
    return ", and was started again \(limit) \(limit == 1 ? "time" : "times") within the last minute: it is given up"
  }

  /// What becomes of the tasks of one that is not started again.
  private func journalAdvice(_ end: EngineEnd, early: Bool) -> String {
    guard configuration.controllerLauncher == nil, keepsJournal, hadJournal || !early else { return "" }
    // One that ended by itself has said why, and it is not the journal.
    if early, case .exited = end { return "" }
    let journal = JournalDirectory(configuration.profile, clusterID: configuration.clusterID)
    return """

      Its tasks are kept: \(journal.sentence). 'apus start --journal' goes on with them. 'apus start --no-journal' starts without, and leaves them there. \
      'apus clean' removes them: tasks that have not ended, and results that nobody has fetched, are lost then
      """
  }

  /// What the controller has made of a journal that it has found.
  func tellOfJournal() {
    guard configuration.plan.ownsController, configuration.controllerLauncher == nil else { return }
    let journal = JournalDirectory(configuration.profile, clusterID: configuration.clusterID)
    let path = Path.join(journal.path, JournalBeginning.fileName)
    if FileSystem.version(of: path) != formerBeginning, let beginning = JournalBeginning(in: journal.path) {
      for (isWarning, text) in beginning.sentences(journal.path) { announcer.say(isWarning ? .warning : .info, text) }
    } else if hadJournal, !configuration.plan.restartsController {
      announcer.say(
        .warning,
        "tasks of an earlier controller do not go on: \(journal.sentence)\n'apus start --journal' goes on with them, 'apus clean' removes them"
      )
    }
  }

  /// The controller's last words, as the rest of a paragraph.
  private var controllerEnding: String {
    if let controllerEnd {
      return controllerEnd.lines.isEmpty
        ? "" : ". Its last words:\n" + controllerEnd.lines.map { "  \($0)" }.joined(separator: "\n")
    }
    guard let process = controller else { return "" }
    let lines = FileSystem.lastLines(of: process.outputFile, limit: configuration.outputLimit)
    if lines.isEmpty { return "; it left no words in \(process.outputFile)" }
    return ". The last of \(process.outputFile):\n" + lines.map { "  \($0)" }.joined(separator: "\n")
  }
}
