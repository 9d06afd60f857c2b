import ApusCluster
import ApusMessaging
import ApusProcess
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

  /// Written by another process: one that a test beside this one starts while the file is open would keep everybody from running it.
  /// - Returns: its path.
  @discardableResult
  func writeProgram(_ name: String, _ text: String) throws -> String {
    let file = "\(self.path)/\(name)"
    let words = ["/bin/sh", "-c", "cat > \"$0\" && chmod 700 \"$0\"", file]
    _ = try ToolCommand(words, environment: .current(), input: text).run()
    return file
  }

  private func remove(_ path: String) -> Int32 {
    for name in FileSystem.entries(of: path) {
      let inner = "\(path)/\(name)"
      if FileSystem.isDirectory(inner) { _ = remove(inner) } else { unlink(inner) }
    }
    return rmdir(path)
  }
}
