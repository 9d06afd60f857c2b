import ApusCluster
import ApusMessaging
import Glibc

/// A directory that goes with the test.
final class TemporaryDirectory {
  let path: String

  init() {
    var template = Array("/tmp/apus-test-XXXXXX".utf8CString)
    path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp/apus-test-none"
  }

  deinit { _ = remove(path) }

  func write(_ name: String, _ text: String) {
    let file = "\(path)/\(name)"
    do {
      try FileSystem.makeDirectory(Path.parent(file))
      try AtomicFile.write(Array(text.utf8), to: file)
    } catch { perror("\(error)") }
  }

  private func remove(_ path: String) -> Int32 {
    for name in FileSystem.entries(of: path) {
      let inner = "\(path)/\(name)"
      if FileSystem.isDirectory(inner) { _ = remove(inner) } else { unlink(inner) }
    }
    return rmdir(path)
  }
}
