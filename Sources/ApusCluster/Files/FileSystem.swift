public import ApusMessaging
import Glibc
import Transport

/// The few questions that commands put to the file system. Not Foundation's: the controller's process stays small without it.
public enum FileSystem {
  public static func isDirectory(_ path: String) -> Bool { mode(path).map { $0 & S_IFMT == S_IFDIR } ?? false }
  public static func isFile(_ path: String) -> Bool { mode(path).map { $0 & S_IFMT == S_IFREG } ?? false }
  public static func exists(_ path: String) -> Bool { mode(path) != nil }

  private static func mode(_ path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode : nil
  }

  /// What tells one version of a file from the next; `nil` where there is none.
  public struct Version: Hashable, Sendable {
    let inode: UInt64
    let seconds: Int
    let nanoseconds: Int
    let size: Int

    var text: String { "\(inode) \(seconds).\(nanoseconds) \(size)" }
  }

  public static func version(of path: String) -> Version? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Version(
      inode: UInt64(status.st_ino), seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, size: Int(status.st_size))
  }

  /// Names in a directory, sorted, without `.` and `..`; none where it cannot be read.
  public static func entries(of directory: String) -> [String] {
    DirectoryListing.names(in: directory).sorted()
  }

  /// Makes the directory and those above it. One that exists is left as it is, but for rights that others have and `mode` does not give.
  /// - Parameter mode: of the last directory; those above get 0755.
  public static func makeDirectory(_ path: String, mode: UInt32 = 0o755) throws(FileError) {
    if isDirectory(path) {
      guard mode & 0o077 == 0 else { return }
      var status = stat()
      if stat(path, &status) == 0, status.st_mode & 0o077 != 0, chmod(path, mode) != 0 {
        throw FileError(path: path, action: "keep others out of", code: errno)
      }
      return
    }
    let parent = Path.parent(path)
    if parent != path, !isDirectory(parent) { try makeDirectory(parent) }
    guard mkdir(path, mode) == 0 || errno == EEXIST else { throw FileError(path: path, action: "make the directory", code: errno) }
    guard isDirectory(path) else { throw FileError(path: path, action: "make the directory", code: ENOTDIR) }
  }

  /// Removes a file; one that is not there is fine.
  @discardableResult
  public static func remove(_ path: String) -> Bool { unlink(path) == 0 || errno == ENOENT }

  /// Waits until nobody holds a lock on a file (`flock`), there is no such file, or it has what is looked for.
  /// - Returns: false where somebody holds it on.
  @discardableResult
  static func waitForLock(of path: String, atMost limit: Duration, orUntil isThere: () -> Bool) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return true }
    defer { close(descriptor) }
    let deadline = MonotonicClock.now + limit
    while flock(descriptor, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
      // The system tells nobody of a lock that is free, unless they wait for it for ever.
      if isThere() { return true }
      guard MonotonicClock.now < deadline else { return false }
      _ = poll(nil, 0, 20)
    }
    return true
  }

  /// Does something while nobody else does it who asks for the same directory (`flock`): it leaves no file behind. Where the file system
  /// has no locks, or somebody holds one for too long, it is done all the same.
  static func whileLocking<R>(_ directory: String, _ body: () throws(ClusterError) -> R) throws(ClusterError) -> R {
    let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    defer { if descriptor >= 0 { close(descriptor) } }
    let deadline = MonotonicClock.now + .seconds(5)
    while descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR,
      MonotonicClock.now < deadline
    { _ = poll(nil, 0, 2) }
    return try body()
  }

  public static func text(of path: String) throws(FileError) -> String {
    String(decoding: try AtomicFile.read(path), as: UTF8.self)
  }

  /// The last lines of a log that may be large.
  /// - Parameter limit: lines at most; 0 is all that the last 256 KiB hold.
  public static func lastLines(of path: String, limit: Int) -> [String] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    let end = lseek(descriptor, 0, SEEK_END)
    lseek(descriptor, max(0, end - 262_144), SEEK_SET)
    var bytes = [UInt8](repeating: 0, count: 262_144)
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return read(descriptor, base + filled, buffer.count - filled)
      }
      if count <= 0 { break }
      filled += count
    }
    var lines = String(decoding: bytes[..<filled], as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(
      String.init)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return limit > 0 ? Array(lines.suffix(limit)) : lines
  }
}
