import ApusMessaging
import Glibc

/// Held by the one controller of a profile and cluster id: a second one would take its files away.
final class ControllerLock: Sendable {
  private let descriptor: Int32
  private let path: String

  /// - Throws: `alreadyRunning` with the other's process id.
  init(_ configuration: ControllerConfiguration) throws(ControllerError) {
    path = configuration.lockPath
    mkdir("\(configuration.profileDirectory)/pid", 0o700)
    while true {
      let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard opened >= 0 else {
        throw ControllerError(
          .file, "\(FileError(path: path, action: "write", code: errno)). `--profile-dir` chooses another profile.")
      }
      if flock(opened, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
        var text = [UInt8](repeating: 0, count: 32)
        let count = max(0, read(opened, &text, text.count))
        close(opened)
        let process = String(decoding: text.prefix(count).prefix { $0 != 10 }, as: UTF8.self)
        throw ControllerError(
          .alreadyRunning,
          "a controller\(process.isEmpty ? "" : " (process \(process))") of this profile"
            + "\(configuration.clusterID.isEmpty ? "" : " and cluster id \(configuration.clusterID)") lives already. Stop it, or name another "
            + "with --cluster-id or --profile.")
      }
      // A file system without locks gets on without them. One whose owner has just removed it is no lock any more.
      guard Self.isStillThere(opened, path) else {
        close(opened)
        continue
      }
      descriptor = opened
      break
    }
    let line = Array("\(getpid())\n".utf8)
    ftruncate(descriptor, 0)
    _ = write(descriptor, line, line.count)
  }

  deinit {
    unlink(path)
    close(descriptor)
  }

  private static func isStillThere(_ descriptor: Int32, _ path: String) -> Bool {
    var (opened, named) = (stat(), stat())
    return fstat(descriptor, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino
  }
}
