import ApusMessaging
import DequeModule
import HeapModule
import Transport

/// Tasks that name others which nobody knows: those may be on their way a second time, after a restart. Each waits until all that it names are known,
/// or until its own time is over.
struct DeferredTasks {
  private struct Entry {
    var request: TaskRequest
    /// What of the tasks that it names has not come.
    var unknown: Set<MessageID>
    var end: ContinuousClock.Instant
  }

  /// By their numbers, in which they came.
  private var entries: [Int: Entry] = [:]
  private var numbers: [MessageID: Int] = [:]
  private var order = Deque<Int>()
  private var last = 0
  /// Who waits for a task.
  private var waiting: [MessageID: Set<Int>] = [:]
  /// Of which nothing is unknown any more.
  private var ready = Heap<Int>()
  /// Bytes of their messages.
  private(set) var byteCount = 0

  var count: Int { entries.count }
  var isEmpty: Bool { entries.isEmpty }
  /// When the time of one is over. They come in the order in which they go.
  var firstEnd: ContinuousClock.Instant? { order.first { entries[$0] != nil }.flatMap { entries[$0]?.end } }

  /// A message that came twice is one task: its client is where the later one came from.
  /// - Parameter unknown: at least one.
  mutating func add(_ request: TaskRequest, unknown: Set<MessageID>, until end: ContinuousClock.Instant) {
    if let client = request.kept.client, reroute(request.id, to: client) { return }
    last += 1
    numbers[request.id] = last
    entries[last] = Entry(request: request, unknown: unknown, end: end)
    order.append(last)
    byteCount += request.kept.byteCount
    for id in unknown { waiting[id, default: []].insert(last) }
  }

  /// - Returns: whether it is one of these.
  mutating func reroute(_ id: MessageID, to client: Frame) -> Bool {
    guard let number = numbers[id], let before = entries[number]?.request.kept.byteCount else { return false }
    entries[number]?.request.kept.reroute(to: client)
    byteCount += (entries[number]?.request.kept.byteCount ?? 0) - before
    return true
  }

  /// Nobody could send them what they wait for: their time begins anew.
  mutating func postpone(until end: ContinuousClock.Instant) { for number in entries.keys { entries[number]?.end = end } }

  /// A task has come, or has ended.
  mutating func known(_ id: MessageID) {
    guard !waiting.isEmpty, let numbers = waiting.removeValue(forKey: id) else { return }
    for number in numbers {
      entries[number]?.unknown.remove(id)
      if entries[number]?.unknown.isEmpty ?? false { ready.insert(number) }
    }
  }

  /// The first that is to be submitted now.
  mutating func next(now: ContinuousClock.Instant) -> TaskRequest? {
    while let first = order.first, entries[first] == nil { order.removeFirst() }
    while let number = ready.min, entries[number] == nil { ready.removeMin() }
    var number = ready.min
    if let first = order.first, let entry = entries[first], entry.end <= now { number = first }
    guard let number, let entry = entries.removeValue(forKey: number) else { return nil }
    byteCount -= entry.request.kept.byteCount
    if numbers[entry.request.id] == number { numbers[entry.request.id] = nil }
    for id in entry.unknown {
      waiting[id]?.remove(number)
      if waiting[id]?.isEmpty ?? false { waiting[id] = nil }
    }
    return entry.request
  }
}
