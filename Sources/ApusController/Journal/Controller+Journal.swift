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

  /// The same, noted for whoever has started this controller, and for the next one if this one does not come to its end.
  static func resumeJournal(_ directory: String, outcomeLimit: Int, logger: Logger) -> Restorer.Restored {
    JournalFiles.beginAttempt(directory)
    var beginning = JournalBeginning()
    beginning.lastWritten = JournalFiles.lastWritten(directory)
    let restored = readJournal(directory, outcomeLimit: outcomeLimit, logger: logger) { beginning.damages.append($0) }
    beginning.tasks = restored.tasks.count
    note(beginning, in: directory, logger: logger)
    return restored
  }

  /// Nobody's life depends on it.
  static func note(_ beginning: JournalBeginning, in directory: String, logger: Logger) {
    do throws(FileError) { try beginning.write(in: directory) } catch {
      logger.warning("what was found in the journal cannot be noted", metadata: ["error": "\(error)"])
    }
  }

  /// Reads the journal of a controller that has not ended in order.
  /// - Parameter onDamage: gets sentences about what could not be read.
  static func readJournal(
    _ directory: String, outcomeLimit: Int, logger: Logger, onDamage: (String) -> Void = { _ in }
  ) -> Restorer.Restored {
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
    for damage in restorer.damages {
      logger.error("the journal is damaged", metadata: ["reason": "\(damage)"])
      onDamage(damage)
    }
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
        throw ControllerError(
          .file,
          "\(error). The journal needs a directory in the profile; `--profile-dir` chooses another profile, `--no-journal` does without: "
            + "tasks then end with the controller, and those that a journal there has do not go on.")
      }
      loop = EventLoop(name: "journal")
      feed = JournalFeed(loop: schedulerLoop, holdsMessages: journal.sync == .always)
      self.configuration = journal
    }

    /// - Parameter damaged: as of `Restorer.Restored`.
    func journal(
      for tasks: TaskScheduler, on schedulerLoop: EventLoop, tellEngine: RequestRelay, damaged: [String]?, logger: Logger
    ) -> Journal {
      Journal(
        loop: loop, feed: feed,
        files: JournalFiles(directory: directory, limit: configuration.sizeLimit, damaged: damaged),
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
