import ApusProcess
import ApusCluster
import Glibc
import Synchronization

/// A profile directory that nobody else can read, for as long as an embedded cluster runs.
struct TemporaryProfile: Sendable {
  let path: String
  /// Those of this process.
  private static let all = Mutex<Set<String>>([])

  init() throws(ClusterError) {
    let base = Environment.current()["TMPDIR"] ?? "/tmp"
    var template = Array("\(base)/apus-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else {
      throw ClusterError(
        .cannotWrite, "no directory could be made in \(base): \(String(cString: strerror(errno)))",
        advice: "Set TMPDIR to a directory that you can write to.")
    }
    let path = String(cString: made)
    self.path = path
    Self.all.withLock { _ = $0.insert(path) }
    for name in ["security", "log"] { mkdir("\(path)/\(name)", 0o700) }
  }

  /// For an end that leaves nobody time to do it.
  static func removeAll() { for path in all.withLock({ $0 }) { remove(path) } }

  func remove() {
    Self.remove(path)
    Self.all.withLock { _ = $0.remove(path) }
  }

  private static func remove(_ path: String) {
    for name in ["security", "log", "pid"] {
      for file in FileSystem.entries(of: "\(path)/\(name)") { FileSystem.remove("\(path)/\(name)/\(file)") }
      rmdir("\(path)/\(name)")
    }
    for file in FileSystem.entries(of: path) { FileSystem.remove("\(path)/\(file)") }
    rmdir(path)
  }
}
