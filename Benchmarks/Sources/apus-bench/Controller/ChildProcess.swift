import Glibc
import Synchronization

/// A process that this program started and ends: by its id, at the latest when this program ends.
final class ChildProcess {
  enum Input { case pipe, none }

  let id: pid_t
  private var inputEnd: Int32 = -1
  private var status: Int32?

  /// Those that live: a signal to this program ends them too.
  static let living = Mutex<Set<pid_t>>([])

  /// - Parameters:
  ///   - words: the program's path or name, and its arguments.
  ///   - log: a file for what it prints; `nil`: our own standard error.
  ///   - environment: beside our own.
  init(_ words: [String], input: Input = .none, log: String? = nil, environment: [String] = []) throws(LoadError) {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var ends: [Int32] = [-1, -1]
    switch input {
    case .none: posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    case .pipe:
      guard Glibc.pipe(&ends) == 0 else { throw LoadError("no pipe: \(String(cString: strerror(errno)))") }
      // Other children must not hold our end open.
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    }
    if let log {
      posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
      posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    } else {
      posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO)
    }
    // The signals that this program waits for in a thread of its own are not blocked over there.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = (Self.environment() + environment).map { strdup($0) } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var id: pid_t = 0
    let failure = posix_spawnp(&id, words[0], &actions, &attributes, &arguments, &variables)
    if ends[0] >= 0 { close(ends[0]) }
    guard failure == 0 else {
      if ends[1] >= 0 { close(ends[1]) }
      throw LoadError("cannot start \(words[0]): \(String(cString: strerror(failure)))")
    }
    self.id = id
    inputEnd = ends[1]
    Self.living.withLock { _ = $0.insert(id) }
  }

  /// This program's own file.
  static func ownPath() throws(LoadError) -> String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    guard count > 0 else { throw LoadError("cannot read /proc/self/exe") }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func environment() -> [String] {
    var texts: [String] = []
    var place = environ
    while let text = place.pointee {
      texts.append(String(cString: text))
      place += 1
    }
    return texts
  }

  /// How it ended, in words; `nil` while it lives.
  func exitStatus() -> String? {
    if status == nil {
      var raw: Int32 = 0
      guard waitpid(id, &raw, WNOHANG) == id else { return nil }
      note(raw)
    }
    guard let status else { return nil }
    return status & 0x7f == 0 ? "exit code \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
  }

  private func note(_ raw: Int32) {
    status = raw
    Self.living.withLock { _ = $0.remove(id) }
  }

  func closeInput() {
    if inputEnd >= 0 { close(inputEnd) }
    inputEnd = -1
  }

  /// Asks it to end, and after so many seconds makes it.
  func stop(patience: Double) {
    closeInput()
    let deadline = Clock.seconds() + patience
    if exitStatus() == nil { kill(id, SIGTERM) }
    while exitStatus() == nil {
      if Clock.seconds() > deadline {
        kill(id, SIGKILL)
        var raw: Int32 = 0
        if waitpid(id, &raw, 0) == id { note(raw) }
        return
      }
      usleep(5000)
    }
  }
}
