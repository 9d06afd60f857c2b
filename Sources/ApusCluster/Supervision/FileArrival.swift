import Glibc

/// Waits for files to appear in a directory, or to be written anew: inotify, so nothing is asked twice.
struct FileArrival {
  /// Readable when something happened in the directory; -1 where the system has no inotify to give, and the caller must look by the clock.
  let descriptor: Int32
  private let paths: [String]
  private let before: [String: FileSystem.Version]

  /// - Parameter acceptsOld: whether files that are there already will do.
  init(of paths: [String], in directory: String, acceptsOld: Bool) {
    self.paths = paths
    var before: [String: FileSystem.Version] = [:]
    if !acceptsOld { for path in paths { before[path] = FileSystem.version(of: path) } }
    self.before = before
    descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    if descriptor >= 0 { inotify_add_watch(descriptor, directory, UInt32(IN_CLOSE_WRITE) | UInt32(IN_MOVED_TO)) }
  }

  /// Whether all files are there, and newer than this value.
  func isComplete() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 4096)
    if descriptor >= 0 { while read(descriptor, &buffer, buffer.count) > 0 {} }
    return paths.allSatisfy { path in FileSystem.version(of: path).map { $0 != before[path] } ?? false }
  }

  func close() { if descriptor >= 0 { Glibc.close(descriptor) } }
}
