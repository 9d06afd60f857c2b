import Glibc
import Synchronization

/// Cuts short the waiting for commands, from another thread: what they were to tell is not wanted any more.
public final class Interruption: Sendable {
  /// Readable from when it is raised until it is cleared.
  let descriptor: Int32
  private let writeEnd: Int32

  public init() throws(ProcessError) { (descriptor, writeEnd) = try Pipe.open() }

  deinit {
    close(descriptor)
    close(writeEnd)
  }

  public func raise() {
    var byte: UInt8 = 1
    _ = write(writeEnd, &byte, 1)
  }

  /// Whoever takes up what it was raised for calls this.
  public func clear() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(descriptor, &bytes, bytes.count) > 0 {}
  }
}
