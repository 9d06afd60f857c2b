@preconcurrency import Glibc
import ApusProcess
import Transport

/// Takes what the process writes to its standard streams, so that clients see what tasks print.
///
/// `@unchecked Sendable`: the descriptors are set once, before the thread starts; everything else is in the `Mutex`.
public final class OutputCapture: @unchecked Sendable {
  private struct State: Sendable {
    var write: (@Sendable (UnsafeRawBufferPointer, OutputBuffer.Stream) -> Void)?
    var isStopped = false
  }

  private let state = Mutex(State())
  /// The reading ends of pipes that take the place of descriptors 1 and 2, and those descriptors as they were.
  private let readers: [(descriptor: Int32, stream: OutputBuffer.Stream)]
  private let originals: [Int32]

  /// Puts pipes in the place of standard output and standard error: one engine of a process may do so.
  /// - Returns: `nil` if the system refuses pipes; output then stays where it goes.
  public init?() {
    var readers: [(Int32, OutputBuffer.Stream)] = []
    var originals: [Int32] = []
    for (target, stream) in [(Int32(1), OutputBuffer.Stream.stdout), (2, .stderr)] {
      var ends: [Int32] = [0, 0]
      let original = fcntl(target, F_DUPFD_CLOEXEC, 3)
      guard original >= 0, pipe(&ends) == 0 else {
        // One stream may have its pipe already, which nobody would ever read.
        if original >= 0 { close(original) }
        for (reader, original) in zip(readers, originals) {
          dup2(original, reader.1 == .stdout ? 1 : 2)
          close(original)
          close(reader.0)
        }
        return nil
      }
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
      dup2(ends[1], target)
      close(ends[1])
      readers.append((ends[0], stream))
      originals.append(original)
    }
    // A pipe is no terminal: without this, text would wait in the C library until there are 4 kB of it.
    setvbuf(stdout, nil, Int32(_IOLBF), 0)
    self.readers = readers
    self.originals = originals
  }

  /// Where standard error went before: for the engine's own log.
  public var originalStandardError: Int32 { originals[1] }

  func start(_ write: @escaping @Sendable (UnsafeRawBufferPointer, OutputBuffer.Stream) -> Void) {
    state.withLock { $0.write = write }
    if let refusal = DetachedThread.start({ [self] in read() }) {
      // A full pipe would hold its task up for ever: better that clients do not see what is printed.
      stop()
      EngineLog.log(.error, "What tasks print stays on this engine's standard output: no thread reads it (\(refusal))")
    }
  }

  /// Reads what tasks print while they run; what is left at a task's end is taken by `drain`.
  private func read() {
    var items = readers.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    while poll(&items, nfds_t(items.count), 1000) >= 0 || errno == EINTR {
      if state.withLock({ $0.isStopped }) { return }
      if items.contains(where: { $0.revents != 0 }) { takeAvailable() }
    }
  }

  /// Everything written so far reaches the publisher before this returns: it belongs to the task that ends now.
  func drain() {
    fflush(stdout)
    takeAvailable()
  }

  private func takeAvailable() {
    state.withLock { state in
      guard let write = state.write else { return }
      // One question for both streams: it is asked after every task, and mostly there is nothing.
      var items = readers.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      guard poll(&items, nfds_t(items.count), 0) > 0 else { return }
      withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
        for (reader, item) in zip(readers, items) where item.revents != 0 {
          while true {
            let count = Glibc.read(reader.descriptor, buffer.baseAddress, buffer.count)
            guard count > 0 else { break }
            write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), reader.stream)
          }
        }
      }
    }
  }

  /// Gives the process its streams back.
  func stop() {
    drain()
    let wasStopped = state.withLock { state in
      defer { state.isStopped = true }
      return state.isStopped
    }
    if wasStopped { return }
    for (index, target) in [Int32(1), 2].enumerated() { dup2(originals[index], target) }
  }
}
