import ApusMessaging
import Synchronization
import Transport

/// The history at work, on a loop of its own: it reads the stream of events and answers clients that ask what has happened, or wait for what
/// will.
actor EventLog {
  nonisolated let loop: EventLoop
  nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

  /// Whether anything is remembered at all.
  nonisolated let isKept: Bool
  private var history: EventHistory
  private var waits = EventWaits()
  private var answers: [EventWaits.ID: Answer] = [:]
  private var isLookScheduled = false
  private var timer: (deadline: ContinuousClock.Instant, id: EventLoop.TimerID)?
  private nonisolated let waiting = Atomic(0)
  private nonisolated let leftOut = Atomic(0)
  /// Events of restored tasks that are left out because later ones of that kind would take their place.
  private nonisolated let superfluous = Atomic(0)

  typealias Answer = @Sendable (Result<EventHistory.Page, any Error>) -> Void

  /// Events that may wait to be noted; what comes beyond is counted and left out. Their messages are in memory until then.
  private static let backlog = 1 << 18
  /// Events of restored tasks that are noted: no fewer than there is room for.
  private static let mostOfBefore = 1 << 18
  private nonisolated let mostOfBefore: Int
  /// Between an event and the answer to those who wait for it: many come together.
  private static let delay = Duration.milliseconds(10)
  /// Of one answer.
  static let mostEvents = 10_000
  static let mostBytes = 4 << 20

  /// - Parameter limit: bytes of the history; 0 keeps nothing.
  init(loop: EventLoop, limit: Int) {
    self.loop = loop
    isKept = limit > 0
    mostOfBefore = min(Self.mostOfBefore, limit / EventHistory.leastBytes)
    history = EventHistory(limit: max(limit, 1 << 10))
  }

  // MARK: called from other loops

  /// Before so many tasks of the controller before are here again: of a million only the last can be remembered, and to look at the others would
  /// take as long as to restore them.
  nonisolated func expectRestored(tasks: Int) {
    // Submitted, and restored.
    superfluous.store(max(0, 2 * tasks - mostOfBefore), ordering: .relaxed)
  }

  /// A reader of the stream.
  nonisolated func read(_ batch: EventBatch) {
    var batch = batch
    if superfluous.load(ordering: .relaxed) > 0 { leaveOutRestored(of: &batch) }
    let count = batch.count
    if count == 0 { return }
    if superfluous.load(ordering: .relaxed) > 0, batch.notices.isEmpty {
      superfluous.subtract(count, ordering: .relaxed)
      leftOut.add(count, ordering: .relaxed)
      return
    }
    guard waiting.add(count, ordering: .relaxed).newValue <= Self.backlog else {
      waiting.subtract(count, ordering: .relaxed)
      leftOut.add(count, ordering: .relaxed)
      return
    }
    loop.execute { [batch] in
      self.assumeIsolated { $0.note(batch) }
      self.waiting.subtract(count, ordering: .relaxed)
    }
  }

  private nonisolated func leaveOutRestored(of batch: inout EventBatch) {
    batch.notices = batch.notices.compactMap { position, notice in
      guard case .tasksRestored(let tasks, let queue) = notice.kind else { return (position, notice) }
      // Two events each.
      let count = min(tasks.count, max(0, superfluous.load(ordering: .relaxed) + 1) / 2)
      superfluous.subtract(2 * count, ordering: .relaxed)
      leftOut.add(2 * count, ordering: .relaxed)
      if count == tasks.count { return nil }
      return (position, ClusterNotice(.tasksRestored(Array(tasks.dropFirst(count)), queue), at: notice.time))
    }
  }

  /// Asks, and answers on another loop. Questions and events keep their order.
  nonisolated func ask<Found: Sendable>(
    _ question: @escaping @Sendable (EventHistory) -> Found, on other: EventLoop, answer: @escaping @Sendable (Found) -> Void
  ) {
    loop.execute {
      let found = self.assumeIsolated { question($0.history) }
      other.execute { answer(found) }
    }
  }

  /// What a client wants to read.
  struct Question: Sendable {
    var filter = StoryFilter()
    /// The number of the first event that is wanted; `nil` is the oldest there is.
    var number: Int?
    /// Only what comes after this moment.
    var fromEnd = false
    /// The last so many that are wanted.
    var last: Int?
    var limit = 1000
    /// How long to wait for the first event, where there is none.
    var wait = Duration.zero
  }

  /// - Parameters:
  ///   - client: who asks, and by which connection.
  ///   - answer: called once on the other loop, unless the client is gone before.
  nonisolated func ask(
    _ question: Question, of client: Frame, _ connection: Int32, on other: EventLoop, answer: @escaping Answer
  ) {
    let answer: Answer = { result in other.execute { answer(result) } }
    loop.execute { self.assumeIsolated { $0.look(question, client, connection, answer) } }
  }

  nonisolated func gone(_ connection: Int32) {
    loop.execute { self.assumeIsolated { log in for id in log.waits.gone(connection) { log.answers[id] = nil } } }
  }

  /// Questions that wait for an event.
  var waitCount: Int { waits.waits.count }

  // MARK: on its loop

  private func note(_ batch: EventBatch) {
    let missed = leftOut.exchange(0, ordering: .relaxed)
    if missed > 0 { history.noteLeftOut(missed) }
    history.note(batch)
    guard !waits.waits.isEmpty, !isLookScheduled else { return }
    isLookScheduled = true
    loop.schedule(after: Self.delay) { [weak self] in
      self?.assumeIsolated {
        $0.isLookScheduled = false
        $0.answerDue()
      }
    }
  }

  private func look(_ question: Question, _ client: Frame, _ connection: Int32, _ answer: @escaping Answer) {
    var number = question.fromEnd ? history.end : min(question.number ?? history.start, history.end)
    if let last = question.last { number = max(number, history.number(ofLast: last, question.filter)) }
    let page = history.page(from: number, question.filter, limit: question.limit, byteLimit: Self.mostBytes)
    guard page.events.isEmpty, !page.isFull, page.lost == 0, question.wait > .zero else { return answer(.success(page)) }
    do throws(RemoteError) {
      let id = try waits.add(
        EventWaits.Wait(
          filter: question.filter, limit: question.limit, deadline: .now + question.wait, client: client, connection: connection,
          number: page.next))
      answers[id] = answer
      armTimer()
    } catch { answer(.failure(error)) }
  }

  private func answerDue() {
    for (id, page) in waits.due(history, now: .now, byteLimit: Self.mostBytes) { answers.removeValue(forKey: id)?(.success(page)) }
    armTimer()
  }

  private func armTimer() {
    guard let next = waits.nextDeadline else { return }
    if let timer {
      if timer.deadline <= next { return }
      loop.cancel(timer.id)
    }
    let id = loop.schedule(at: next) { [weak self] in
      self?.assumeIsolated {
        $0.timer = nil
        $0.answerDue()
      }
    }
    timer = (next, id)
  }
}
