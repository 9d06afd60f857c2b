import Glibc

/// Two ends that close on exec.
public enum Pipe {
  /// - Parameter isNonblocking: of both ends.
  public static func open(isNonblocking: Bool = true) throws(ProcessError) -> (readEnd: Int32, writeEnd: Int32) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw ProcessError(pipe: errno) }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      if isNonblocking { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }
    return (ends[0], ends[1])
  }
}
