import CZeroMQ
import Glibc

/// A value behind a lock that also works in a forked child.
///
/// The standard library's `Mutex` writes the number of the thread into its word, and keeps that number in thread-local memory, which a
/// child inherits: there it is the parent's, and the system, which is asked when two threads meet at the lock, ends the process ("Call to
/// unlock Mutex on a thread which hasn't acquired the lock"). The system's own mutex knows of forks.
///
/// `@unchecked Sendable`: the value is touched under the lock only.
public struct ForkSafeMutex<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
  @usableFromInline let system: SystemMutex
  @usableFromInline let value: UnsafeMutablePointer<Value>

  @inlinable public init(_ initial: consuming sending Value) {
    let alignment = MemoryLayout<Value>.alignment
    let offset = (SystemMutex.size + alignment - 1) / alignment * alignment
    system = SystemMutex(room: offset + MemoryLayout<Value>.size, alignment: alignment)
    value = (system.block + offset).bindMemory(to: Value.self, capacity: 1)
    value.initialize(to: initial)
  }

  @inlinable deinit {
    value.deinitialize(count: 1)
    system.end()
  }

  /// Runs the body with the lock. Not recursive.
  @inlinable public borrowing func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout sending Value) throws(Failure) -> sending Result
  ) throws(Failure) -> sending Result {
    system.lock()
    defer { system.unlock() }
    return try body(&value.pointee)
  }
}

/// The system's mutex at the beginning of a block of memory, where it stays: it must not move.
@usableFromInline struct SystemMutex {
  @usableFromInline let block: UnsafeMutableRawPointer

  @usableFromInline static var size: Int { MemoryLayout<pthread_mutex_t>.size }

  /// - Parameter room: bytes of the block.
  @usableFromInline init(room: Int, alignment: Int) {
    block = .allocate(byteCount: room, alignment: max(MemoryLayout<pthread_mutex_t>.alignment, alignment))
    pthread_mutex_init(block.bindMemory(to: pthread_mutex_t.self, capacity: 1), nil)
  }

  @usableFromInline func end() {
    pthread_mutex_destroy(mutex)
    block.deallocate()
  }

  @usableFromInline func lock() { pthread_mutex_lock(mutex) }
  @usableFromInline func unlock() { pthread_mutex_unlock(mutex) }

  private var mutex: UnsafeMutablePointer<pthread_mutex_t> { block.assumingMemoryBound(to: pthread_mutex_t.self) }
}
