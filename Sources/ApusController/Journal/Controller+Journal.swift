import ApusMessaging
import Logging
import Transport

extension Controller {
  /// What is left of the controller before.
  struct Former: Sendable {
    let restored: Restorer.Restored
    let engines: [EngineUUID]

    init(_ restored: Restorer.Restored, engines: [EngineUUID]) {
      self.restored = restored
      self.engines = engines
    }
  }

  /// Reads the journal of a controller that has not ended in order.
  static func readJournal(_ directory: String, outcomeLimit: Int, logger: Logger) -> Restorer.Restored {
    let began = ContinuousClock.now
    let segments = JournalFiles.segments(in: directory)
    var restorer = Restorer(outcomeLimit: outcomeLimit, expecting: segments.reduce(0) { $0 + $1.bytes })
    var bytes = 0
    JournalReading(directory).read(segments.map(\.number)) { result in
      switch result {
      case .success(let segment):
        bytes += segment.byteCount
        restorer.read(segment)
      case .failure(let error): restorer.leaveOut(error)
      }
    }
    for damage in restorer.damages { logger.error("the journal is damaged", metadata: ["reason": "\(damage)"]) }
    if restorer.tornBytes > 0 {
      logger.notice("the end of the journal was cut off in a write", metadata: ["bytes": "\(restorer.tornBytes)"])
    }
    let restored = restorer.finish()
    logger.notice(
      "the journal is read",
      metadata: [
        "tasks": "\(restored.tasks.count)", "results": "\(restored.results.count)", "bytes": "\(bytes)",
        "took": "\(ContinuousClock.now - began)",
      ])
    return restored
  }

  /// The journal with its loop and its way from the scheduler.
  struct JournalParts {
    let id: String
    let loop: EventLoop
    let feed: JournalFeed
    let configuration: JournalConfiguration
    let directory: String

    /// - Returns: `nil` where none is wanted.
    /// - Throws: where its directory cannot be made.
    init?(_ configuration: ControllerConfiguration, schedulerLoop: EventLoop) throws(ControllerError) {
      guard let journal = configuration.journal else { return nil }
      directory = configuration.journalDirectory
      do throws(FileError) { id = try JournalFiles.id(in: directory) } catch {
        throw ControllerError(.file, "\(error). The journal needs a directory in the profile; `--profile-dir` chooses another.")
      }
      loop = EventLoop(name: "journal")
      feed = JournalFeed(loop: schedulerLoop, holdsMessages: journal.sync == .always)
      self.configuration = journal
    }

    func journal(for tasks: TaskScheduler, on schedulerLoop: EventLoop, tellEngine: RequestRelay, logger: Logger) -> Journal {
      Journal(
        loop: loop, feed: feed, files: JournalFiles(directory: directory, limit: configuration.sizeLimit),
        configuration: configuration,
        audience: Journal.Audience(
          loop: schedulerLoop,
          written: { [weak tasks, weak tellEngine] ticket, replies in
            tasks?.assumeIsolated { $0.written(ticket) }
            tellEngine?.assumeIsolated { relay in for (uuid, ids) in replies { relay.repliesWritten(ids, by: uuid) } }
          },
          snapshotWanted: { [weak tasks] in tasks?.assumeIsolated { $0.restate() } }),
        logger: logger)
    }
  }
}
