import ApusMessaging
import Logging
import Transport

/// Writes what the task scheduler's tasks need to survive the controller, on a loop of its own: whatever the disk does, the scheduler goes on.
/// Decisions are in `JournalState`.
actor Journal {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// What the journal tells the scheduler, on the scheduler's loop.
  struct Audience: Sendable {
    let loop: EventLoop
    /// As of `JournalEffects`.
    let written: @Sendable (_ ticket: Int, _ replies: [EngineUUID: [MessageID]]) -> Void
    let snapshotWanted: @Sendable () -> Void
  }

  private let feed: JournalFeed
  private let audience: Audience
  private let logger: Logger
  private var state: JournalState<JournalFiles>

  /// - Parameter retryDelay: between two attempts to write again where that has failed.
  init(
    loop: EventLoop, feed: JournalFeed, files: sending JournalFiles, configuration: JournalConfiguration, audience: Audience,
    retryDelay: Duration = .seconds(10), logger: Logger
  ) {
    self.loop = loop
    self.feed = feed
    self.audience = audience
    self.logger = logger
    state = JournalState(files, configuration, retryDelay: retryDelay)
    feed.onEntries { [weak self] in
      guard let self else { return }
      loop.execute { self.assumeIsolated { $0.commit() } }
    }
  }

  /// Begins with a snapshot, which takes the place of what was restored.
  func start() { perform { $0.resume(effects: &$1) } }

  /// Begins behind what was read, where that is gone on with.
  func goOn(behind bytes: (all: Int, tasks: Int)) { perform { $0.goOn(behind: bytes, effects: &$1) } }

  /// The controller ends in order, and so do its tasks: nothing is left to be restored.
  func end() { perform { $0.end(effects: &$1) } }

  /// The controller could not begin: what it has read stays for the next one.
  func abandon() { perform { $0.abandon(effects: &$1) } }

  private func commit() {
    let wasBehind = feed.isBehind
    var taken = feed.take()
    // Clients wait, and need not any longer.
    if wasBehind { audience.loop.execute { [audience] in audience.written(0, [:]) } }
    perform { $0.commit(&taken, effects: &$1) }
    feed.recycle(&taken)
  }

  private func perform(_ event: (inout JournalState<JournalFiles>, inout Sink) -> Void) {
    var sink = Sink(journal: self, directory: state.storage.directory)
    event(&state, &sink)
  }

  private func later(_ delay: Duration, _ event: @escaping @Sendable (inout JournalState<JournalFiles>, inout Sink) -> Void) {
    loop.schedule(after: delay) { [weak self] in self?.assumeIsolated { $0.perform(event) } }
  }

  /// For the length of an event.
  private struct Sink: JournalEffects {
    let journal: Journal
    let directory: String

    func syncLater(after delay: Duration) { journal.assumeIsolated { $0.later(delay) { $0.syncIsDue(effects: &$1) } } }
    func tellLater(after delay: Duration) { journal.assumeIsolated { $0.later(delay) { $0.repliesAreDue(effects: &$1) } } }
    func retryLater(after delay: Duration) { journal.assumeIsolated { $0.later(delay) { $0.resume(effects: &$1) } } }

    func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) {
      let audience = journal.audience
      audience.loop.execute { audience.written(ticket, replies) }
    }

    func snapshotWanted() {
      let audience = journal.audience
      audience.loop.execute { audience.snapshotWanted() }
    }

    func closeBacklog() { journal.feed.close() }

    func suspended(_ reason: String) {
      journal.logger.error(
        "the journal is suspended: tasks go on, and would not survive the controller; it is tried again",
        metadata: ["reason": "\(reason)", "directory": "\(directory)"])
    }
  }
}
