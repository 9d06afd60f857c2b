import ApusCluster
import ApusEngine
import ApusMessaging
import Glibc
import Synchronization

/// This program once more, as an engine of an embedded cluster. It ends when its standard input does, so it cannot outlive its starter.
final class EngineProcess: Sendable {
  let pid: Int32
  let log: String
  /// Our end of its standard input.
  private let leash: Int32
  private let ending: EngineEnding

  /// - Parameters:
  ///   - connectionPath: the engine's connection file.
  ///   - log: gets what it writes to standard error.
  static func start(executable: String, connectionPath: String, log: String) throws(ClusterError) -> EngineProcess {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw ClusterError(.failure, "no pipe could be made: \(String(cString: strerror(errno)))") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[0]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
    posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 2, 1)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Ctrl-C of the terminal reaches the starter alone, who ends its engines.
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    let words = [CommandLine.arguments.first ?? executable, "engine", "--file", connectionPath, "--leashed"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    let code = posix_spawn(&pid, executable, &actions, &attributes, &arguments, environ)
    guard code == 0 else {
      close(ends[1])
      throw ClusterError(.missingProgram, "\(executable) could not be started as an engine: \(String(cString: strerror(code)))")
    }
    return EngineProcess(pid: pid, log: log, leash: ends[1])
  }

  private init(pid: Int32, log: String, leash: Int32) {
    self.pid = pid
    self.log = log
    self.leash = leash
    ending = EngineEnding(pid: pid)
  }

  deinit { cutLeash() }

  /// Waits for its end.
  /// - Returns: in words.
  func ended() async -> String { await ending.value }

  /// What it said last, for an error message.
  var lastWords: String { FileSystem.lastLines(of: log, limit: 5).joined(separator: "\n") }

  /// Lets it end by itself, and kills it if it does not.
  func end(within grace: Duration) async {
    cutLeash()
    let timer = Task { [pid] in
      try await Task.sleep(for: grace)
      kill(pid, SIGKILL)
    }
    _ = await ended()
    timer.cancel()
  }

  private let isLeashCut = Atomic(false)

  private func cutLeash() {
    // Once: the number may be somebody else's afterwards.
    if !isLeashCut.exchange(true, ordering: .relaxed) { close(leash) }
  }
}

/// The end of a child, which a thread waits for: there is no descriptor for it that every kernel has.
private final class EngineEnding: Sendable {
  private struct State: Sendable {
    var status: String?
    var waiters: [Int: CheckedContinuation<String, Never>] = [:]
    var lastWaiter = 0
  }
  private let state = Mutex(State())
  private let pid: Int32

  init(pid: Int32) {
    self.pid = pid
    // Without a thread its end is seen when it is waited for by the system's table: not at all, but nothing else is lost.
    _ = DetachedThread.start { [self] in wait() }
  }

  /// How it ended, or that the waiting Swift task was cancelled.
  var value: String {
    get async {
      let id = state.withLock { state in
        state.lastWaiter += 1
        return state.lastWaiter
      }
      return await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let status = state.withLock { state in
            if state.status == nil { state.waiters[id] = continuation }
            return state.status
          }
          if let status { continuation.resume(returning: status) } else if Task.isCancelled { abandon(id) }
        }
      } onCancel: {
        abandon(id)
      }
    }
  }

  private func abandon(_ id: Int) { state.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: "not waited for") }

  private func wait() {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    let text = "\(ExitStatus(waitStatus: status))"
    let waiters = state.withLock { state in
      state.status = text
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume(returning: text) }
  }
}
