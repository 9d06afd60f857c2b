import FoundationEssentials
import Glibc
import Synchronization

/// What SIGINT and SIGTERM do: end every process that was started, remove what was written, and exit with 128 plus the signal.
enum Interruption {
  static let temporaryDirectories = Mutex<Set<String>>([])

  /// Before other threads exist: they inherit the mask.
  static func watch() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    // A closed pipe to an engine that has ended is no reason to die.
    signal(SIGPIPE, SIG_IGN)
    var thread = pthread_t()
    pthread_create(&thread, nil, { _ in Interruption.waitForSignal() }, nil)
    pthread_detach(thread)
  }

  private static func waitForSignal() -> Never {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    var received: Int32 = 0
    while sigwait(&signals, &received) != 0 {}
    let children = ChildProcess.living.withLock { $0 }
    for child in children { kill(child, SIGTERM) }
    usleep(300_000)
    for child in children { kill(child, SIGKILL) }
    for path in temporaryDirectories.withLock({ $0 }) { remove(path) }
    _exit(128 + received)
  }

  static func temporaryDirectory() throws(LoadError) -> String {
    let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(base)/apus-bench.XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw LoadError("cannot make a directory in \(base): \(String(cString: strerror(errno)))")
    }
    let path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    temporaryDirectories.withLock { _ = $0.insert(path) }
    return path
  }

  static func remove(_ path: String) {
    try? FileManager.default.removeItem(atPath: path)
    temporaryDirectories.withLock { _ = $0.remove(path) }
  }
}
