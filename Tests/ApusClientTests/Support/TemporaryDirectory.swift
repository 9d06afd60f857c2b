import Foundation

/// A folder of its own under the system's temporary one, which goes with its last holder.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    // Short: sockets are made in such folders.
    var template = Array("/tmp/apus-client-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else {
      preconditionFailure("no folder can be made in /tmp: \(String(cString: strerror(errno)))")
    }
    path = String(cString: made)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
