import ApusMessaging
import DequeModule

/// What clients read of the history.
extension EventHistory {
  struct Page: Sendable {
    var events: [StoryEvent] = []
    /// Where to go on.
    var next: Int
    /// The number of the next event at this moment.
    var end: Int
    /// Events before the first one here that were wanted, perhaps, and are gone.
    var lost = 0
    /// Whether there may be more already: the page was full.
    var isFull = false
  }

  /// The events from a number on that are wanted.
  /// - Parameters:
  ///   - limit: so many at most.
  ///   - byteLimit: and so many bytes of their texts, roughly; one event in any case.
  func page(from number: Int, _ filter: StoryFilter, limit: Int, byteLimit: Int) -> Page {
    var page = Page(next: end, end: end)
    if number < start { page.lost = start - max(0, number) }
    let matcher = EventMatcher(filter)
    var bytes = 0
    forEach(from: number) { number, record in
      guard matcher.wants(record) else { return true }
      if page.events.count >= limit || bytes >= byteLimit {
        page.next = number
        page.isFull = true
        return false
      }
      let event = record.story(number)
      bytes += 200 + (event.error?.utf8.count ?? 0) + (event.label?.utf8.count ?? 0) + (event.task?.text.utf8.count ?? 0)
      page.events.append(event)
      return true
    }
    return page
  }

  /// Where the last so many begin that are wanted.
  func number(ofLast count: Int, _ filter: StoryFilter) -> Int {
    let matcher = EventMatcher(filter)
    var found = Deque<Int>()
    forEach { number, record in
      if matcher.wants(record) {
        if found.count == count { found.removeFirst() }
        found.append(number)
      }
      return true
    }
    return found.first ?? start
  }

  /// Every event of a task, and of its shares if it is a broadcast: the newest, where there are very many.
  func story(of task: MessageID, limit: Int = 4096) -> [StoryEvent] {
    let matcher = EventMatcher(StoryFilter(tasks: [task]))
    var events: [StoryEvent] = []
    forEach { number, record in
      guard matcher.wants(record) else { return true }
      if events.count >= 2 * limit { events.removeFirst(limit) }
      events.append(record.story(number))
      return true
    }
    return events.suffix(limit)
  }

  /// What an engine has at this moment, in the order in which it got it, as far as that is known here.
  func openTasks(on engine: EngineUUID) -> [OpenTask] {
    var open: [MessageID: OpenTask] = [:]
    forEach { number, record in
      guard let task = record.task else {
        // What it had before it was lost it has no more.
        if case .engineLost = record.code, record.engine?.uuid == engine { open = [:] }
        return true
      }
      switch record.code {
      case .submitted, .placed:
        guard record.engine?.uuid == engine else { return true }
        open[task] = OpenTask(
          id: task, number: number, since: record.time, queue: record.queue, label: record.detail?.label, started: nil)
      case .started: if open[task] != nil, open[task]?.started == nil { open[task]?.started = record.time }
      case .retried, .lost: if record.engine?.uuid == engine { open[task] = nil }
      case .finished: open[task] = nil
      default: break
      }
      return true
    }
    if open.isEmpty { return [] }
    // Balanced ones have told their names before they were placed.
    forEach { _, record in
      if record.code == .submitted, let label = record.detail?.label, let task = record.task { open[task]?.label = label }
      return true
    }
    return open.values.sorted { $0.number < $1.number }
  }

  struct OpenTask: Sendable, Hashable {
    let id: MessageID
    /// Of the event by which the engine got it.
    let number: Int
    let since: Timestamp
    let queue: TaskQueue?
    var label: String?
    /// When the engine said that it began, where it says so.
    var started: Timestamp?
  }

  /// When engines came and went.
  func comings(of engine: StoryFilter.Engine) -> [StoryEvent] {
    let kinds: Set<StoryEvent.Kind> = [.engineRegistered, .engineLost]
    return page(from: 0, StoryFilter(engine: engine, kinds: kinds), limit: 1000, byteLimit: .max).events
  }
}

/// A filter as it is asked of every event.
struct EventMatcher {
  private let filter: StoryFilter
  private let engine: EngineUUID?
  private let engineID: EngineID?
  private let kinds: Set<String>?

  init(_ filter: StoryFilter) {
    self.filter = filter
    kinds = filter.kinds.map { Set($0.map(\.rawValue)) }
    switch filter.engine {
    case .id(let id): (engine, engineID) = (nil, id)
    case .uuid(let uuid): (engine, engineID) = (uuid, nil)
    case nil: (engine, engineID) = (nil, nil)
    }
  }

  func wants(_ record: EventHistory.Record) -> Bool {
    if let since = filter.since, record.time < since { return false }
    if let tasks = filter.tasks {
      guard let task = record.task, tasks.contains(task) || record.queue == .broadcast && isShare(task, of: tasks) else {
        return false
      }
    }
    if let engine, record.engine?.uuid != engine { return false }
    if let engineID, record.engine?.id != engineID { return false }
    if let client = filter.client, record.client?.text != client, !isTask(record.task, of: client) { return false }
    if let kinds, !kinds.contains(record.code.kind.rawValue) { return false }
    return true
  }

  /// Ids begin with the session of the client that made them.
  private func isTask(_ task: MessageID?, of session: String) -> Bool {
    guard let text = task?.text.utf8, text.count > session.utf8.count, text.starts(with: session.utf8) else { return false }
    return text[text.index(text.startIndex, offsetBy: session.utf8.count)] == UInt8(ascii: "_")
  }

  /// `<id>_<uuid>`.
  private func isShare(_ task: MessageID, of tasks: Set<MessageID>) -> Bool {
    guard let end = task.text.lastIndex(of: "_") else { return false }
    return tasks.contains(MessageID(String(task.text[..<end])))
  }
}

extension EventHistory.Record {
  func story(_ number: Int) -> StoryEvent {
    var event = StoryEvent(number: number, time: time, kind: code.kind)
    event.task = task
    event.queue = queue?.rawValue
    event.engine = engine?.uuid
    event.engineID = engine?.id
    event.client = client?.text
    event.label = detail?.label
    event.count = detail?.count
    event.other = detail?.other
    switch code {
    case .submitted:
      event.sent = first
      event.request = detail?.text
    case .finished(let outcome):
      event.outcome = outcome.word
      event.began = first
      event.ended = second
      event.error = detail?.text
    case .retried(let reason):
      event.reason = reason.word
      event.error = detail?.text
    case .lost(let cause), .engineLost(let cause):
      event.reason = cause.word
      event.error = cause.sentence
    default: break
    }
    return event
  }
}

// MARK: words of the wire

extension EventHistory.Code {
  var kind: StoryEvent.Kind {
    switch self {
    case .submitted: .submitted
    case .restored: .restored
    case .waiting: .waiting
    case .queued: .queued
    case .placed: .placed
    case .started: .started
    case .abortRequested: .abortRequested
    case .aborted: .aborted
    case .resubmitted: .resubmitted
    case .retried: .retried
    case .lost: .lost
    case .finished: .finished
    case .engineRegistered: .engineRegistered
    case .engineDraining: .engineDraining
    case .engineLost: .engineLost
    case .clientConnected: .clientConnected
    case .clientGone: .clientGone
    case .controllerStarted: .controllerStarted
    case .leftOut: .leftOut
    }
  }
}

extension TaskOutcome {
  var word: String {
    switch self {
    case .ok: "ok"
    case .error: "error"
    case .aborted: "aborted"
    case .lost: "lost"
    case .timedOut: "timed_out"
    case .impossible: "impossible"
    case .refused: "refused"
    }
  }
}

extension RetryReason {
  var word: String {
    switch self {
    case .failed, .overtaken: "failed"
    case .unmetDependency: "unmet_dependency"
    case .engineLost: "engine_lost"
    case .undelivered: "undelivered"
    }
  }
}

extension EngineLoss {
  var word: String {
    switch self {
    case .unregistered, .left: "unregistered"
    case .disconnected: "disconnected"
    case .silent: "silent"
    case .overran: "overran"
    case .absent: "absent"
    }
  }
}
