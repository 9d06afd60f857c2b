import ApusMessaging
import Glibc
import Logging

/// How a controller begins with a journal that one before it has left. Whatever is wrong with that one, it keeps nobody from starting.
extension JournalFiles {
  /// So many controllers in a row may come to their end while they read a journal. The next one sets it aside: the reason may be in it.
  static let mostAttempts = 3

  static func attemptsPath(_ directory: String) -> String { "\(directory)/\(JournalBeginning.attemptsName)" }

  /// Before anything of it is read.
  /// - Returns: what is to be said of one that had to be set aside; `nil` where there was nothing to do.
  static func prepare(_ directory: String, logger: Logger) -> JournalBeginning? {
    guard wasCutShort(directory), let reason = reasonAgainst(directory) else { return nil }
    do throws(FileError) {
      let path = try setAside(directory)
      logger.error("the journal is set aside", metadata: ["reason": "\(reason)", "path": "\(path)"])
      var beginning = JournalBeginning()
      beginning.isSetAside(at: path, because: reason)
      return beginning
    } catch {
      logger.error("the journal cannot be set aside", metadata: ["reason": "\(reason)", "error": "\(error)"])
      return nil
    }
  }

  private static func reasonAgainst(_ directory: String) -> String? {
    var status = stat()
    if stat("\(directory)/id", &status) == 0, status.st_mode & S_IFMT != S_IFREG { return "its file 'id' is no file" }
    let attempts = stat(attemptsPath(directory), &status) == 0 ? Int(status.st_size) : 0
    return attempts < mostAttempts ? nil : "\(attempts) controllers in a row ended while they read it"
  }

  static func beginAttempt(_ directory: String) {
    let opened = open(attemptsPath(directory), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0o600)
    guard opened >= 0 else { return }
    var byte = UInt8(ascii: ".")
    _ = Glibc.write(opened, &byte, 1)
    close(opened)
  }

  static func endAttempts(_ directory: String) { unlink(attemptsPath(directory)) }

  /// Moves the journal to a place beside it, where nothing is in its way.
  static func setAside(_ directory: String) throws(FileError) -> String {
    for number in 1... {
      let path = "\(directory).aside-\(number)"
      var status = stat()
      if lstat(path, &status) == 0 { continue }
      guard rename(directory, path) == 0 else { throw FileError(path: directory, action: "set aside", code: errno) }
      return path
    }
    throw FileError(path: directory, action: "set aside", code: EEXIST)
  }

  /// When the newest of its segments was written.
  static func lastWritten(_ directory: String) -> Timestamp? {
    segments(in: directory).compactMap { segment in
      var status = stat()
      guard stat(path(segment.number, in: directory), &status) == 0 else { return nil }
      return Timestamp(microseconds: status.st_mtim.tv_sec * 1_000_000 + status.st_mtim.tv_nsec / 1000)
    }.max()
  }
}
