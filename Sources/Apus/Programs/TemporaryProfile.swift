import ApusCluster
import Glibc

/// A profile directory that nobody else can read, for as long as an embedded cluster runs.
struct TemporaryProfile: Sendable {
  let path: String

  init() throws(ClusterError) {
    let base = Environment.current()["TMPDIR"] ?? "/tmp"
    var template = Array("\(base)/apus-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else {
      throw ClusterError(
        .cannotWrite, "no directory could be made in \(base): \(String(cString: strerror(errno)))",
        advice: "Set TMPDIR to a directory that you can write to.")
    }
    path = String(cString: made)
    for name in ["security", "log"] { mkdir("\(path)/\(name)", 0o700) }
  }

  func remove() {
    for name in ["security", "log", "pid"] {
      for file in FileSystem.entries(of: "\(path)/\(name)") { FileSystem.remove("\(path)/\(name)/\(file)") }
      rmdir("\(path)/\(name)")
    }
    for file in FileSystem.entries(of: path) { FileSystem.remove("\(path)/\(file)") }
    rmdir(path)
  }
}
