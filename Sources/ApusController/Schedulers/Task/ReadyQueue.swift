import DequeModule
import HeapModule

/// Tasks that wait for an engine, oldest first.
///
/// Nearly all come in the order of submission and cost nothing to keep so; those that waited for others come late and are sorted in. Tasks that
/// were placed or answered meanwhile are skipped when they surface, and swept out before they are the greater part.
struct ReadyQueue {
  private struct Entry: Comparable {
    let task: QueuedTask
    let sequence: Int
    static func < (a: Entry, b: Entry) -> Bool { a.sequence < b.sequence }
    static func == (a: Entry, b: Entry) -> Bool { a.sequence == b.sequence }
  }

  private var inOrder = Deque<QueuedTask>()
  private var late = Heap<Entry>()

  /// For so many tasks at once.
  mutating func makeRoom(for count: Int) { inOrder.reserveCapacity(inOrder.count + count) }

  /// - Parameter alive: how many tasks the scheduler has at all.
  mutating func append(_ task: QueuedTask, alive: Int) {
    if inOrder.count + late.count > 2 * alive + 64 { sweep() }
    if let last = inOrder.last, last.sequence > task.sequence {
      late.insert(Entry(task: task, sequence: task.sequence))
    } else {
      inOrder.append(task)
    }
  }

  /// The oldest task that is to be served from here; others before it are dropped.
  mutating func first(where isWanted: (QueuedTask) -> Bool) -> QueuedTask? {
    while let task = inOrder.first, !task.isQueued || !isWanted(task) { inOrder.removeFirst() }
    while let entry = late.min, !entry.task.isQueued || !isWanted(entry.task) { late.removeMin() }
    guard let task = inOrder.first else { return late.min?.task }
    guard let entry = late.min, entry.sequence < task.sequence else { return task }
    return entry.task
  }

  /// Tasks that still wait, in no order.
  var waiting: [QueuedTask] { inOrder.filter(\.isQueued) + late.unordered.map(\.task).filter(\.isQueued) }
  var isEmpty: Bool { inOrder.isEmpty && late.isEmpty }

  private mutating func sweep() {
    inOrder.removeAll { !$0.isQueued }
    late = Heap(late.unordered.filter { $0.task.isQueued })
  }
}
