import Synchronization
import TestSupport
import Testing
import Transport

extension Socket {
  /// The next message, waited for a bounded time.
  borrowing func next(within milliseconds: Int = 5000 * patience) throws -> [Frame]? {
    guard try waitReadable(milliseconds: milliseconds) else { return nil }
    return try receive()
  }
}

private let lastNumber = Atomic<Int>(0)

/// A name that no other test of this process has.
func uniqueName() -> String { "test-\(lastNumber.add(1, ordering: .relaxed).newValue)" }

/// What happened, in order, on whatever threads.
final class Record<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])
  func add(_ element: Element) { elements.withLock { $0.append(element) } }
  var all: [Element] { elements.withLock { $0 } }
  var count: Int { elements.withLock { $0.count } }
}

/// Waits until something is so, for at most five seconds (times `patience`).
func eventually(_ condition: @Sendable () -> Bool) async -> Bool {
  for _ in 0..<5000 * patience {
    if condition() { return true }
    try? await Task.sleep(for: .milliseconds(1))
  }
  return condition()
}

extension EventLoop {
  /// Waits until the loop has done the work that it had.
  func settle() async { await withCheckedContinuation { done in execute { done.resume() } } }

  /// Something that must happen on the loop.
  func on<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    await withCheckedContinuation { done in execute { done.resume(returning: body()) } }
  }
}
