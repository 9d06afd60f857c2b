import Glibc

/// A descriptor of a process.
public enum ProcessDescriptor {
  /// Becomes readable when the process ends; for the caller to close.
  /// - Returns: `nil` on systems without (Linux before 5.3, glibc before 2.36).
  public static func open(_ pid: Int32) -> Int32? {
    typealias Open = @convention(c) (pid_t, UInt32) -> Int32
    guard let symbol = dlsym(nil, "pidfd_open") else { return nil }
    let descriptor = unsafeBitCast(symbol, to: Open.self)(pid, 0)
    return descriptor >= 0 ? descriptor : nil
  }
}
