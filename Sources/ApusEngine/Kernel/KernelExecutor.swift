import CZeroMQ
import Glibc
import Transport

/// Runs the Swift code of a task on the kernel's own thread: between a message and its reply no other thread is woken.
///
/// `@unchecked Sendable`: the queue is a `Mutex`, the descriptor is only written to and read from.
final class KernelExecutor: TaskExecutor, @unchecked Sendable {
  private struct Queue: Sendable {
    var jobs: [UnownedJob] = []
    /// Set before the thread waits: only then does a sender write to the descriptor.
    var isAsleep = false
    var isDone = false
  }

  private let queue = Mutex(Queue())
  private let wakeup = apus_eventfd()

  deinit { close(wakeup) }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    change { $0.jobs.append(job) }
  }

  private func change(_ body: (inout Queue) -> Void) {
    let mustWake = queue.withLock { queue in
      body(&queue)
      defer { queue.isAsleep = false }
      return queue.isAsleep
    }
    if mustWake { _ = eventfd_write(wakeup, 1) }
  }

  /// Runs the operation to its end on this thread, which waits where the operation does.
  /// - Parameter started: gets the task, so that somebody else can cancel it.
  func run<Success: Sendable>(
    _ operation: @escaping @Sendable () async -> Success, started: (Task<Void, Never>) -> Void
  ) -> Success? {
    let box = ResultBox<Success>()
    queue.withLock { $0.isDone = false }
    let task = Task(executorPreference: self) {
      box.put(await operation())
      self.change { $0.isDone = true }
    }
    started(task)
    var batch: [UnownedJob] = []
    while true {
      let isDone = queue.withLock { queue in
        swap(&queue.jobs, &batch)
        queue.isAsleep = batch.isEmpty && !queue.isDone
        return batch.isEmpty && queue.isDone
      }
      if isDone { return box.take() }
      if batch.isEmpty {
        var item = pollfd(fd: wakeup, events: Int16(POLLIN), revents: 0)
        _ = poll(&item, 1, -1)
        var count: eventfd_t = 0
        eventfd_read(wakeup, &count)
      }
      for job in batch { job.runSynchronously(on: asUnownedTaskExecutor()) }
      batch.removeAll(keepingCapacity: true)
    }
  }
}

private final class ResultBox<Value: Sendable>: Sendable {
  private struct Contents: Sendable { var value: Value? }
  private let contents = Mutex(Contents())
  func put(_ value: Value) { contents.withLock { $0.value = value } }
  func take() -> Value? { contents.withLock { $0.value.take() } }
}
