import ApusCluster
import ApusProcess
import Glibc
import Synchronization

/// This program once more, as an engine of an embedded cluster.
final class EngineProcess: Sendable {
  let log: String
  private let process: FollowingProcess
  private let ending = ProcessEnding()

  /// - Parameters:
  ///   - connectionPath: the engine's connection file.
  ///   - log: gets what it writes to standard error.
  init(executable: String, connectionPath: String, log: String) throws(ClusterError) {
    self.log = log
    let command = ChildProcess.Command(
      program: executable,
      arguments: [CommandLine.arguments.first ?? executable, "engine", "--file", connectionPath, "--follow-parent"],
      environment: .current())
    do throws(ProcessError) {
      process = try FollowingProcess(command, output: .file(log, mode: 0o600)) { [ending] in ending.came($0) }
    } catch { throw ClusterError(error) }
  }

  /// Waits for its end.
  /// - Returns: in words.
  func ended() async -> String { await ending.value }

  /// What it said last, for an error message.
  var lastWords: String { FileSystem.lastLines(of: log, limit: 5).joined(separator: "\n") }

  /// Lets it end by itself, and kills it if it does not.
  func end(within grace: Duration) async {
    process.closeInput()
    let timer = Task { [process] in
      try await Task.sleep(for: grace)
      process.send(SIGKILL)
    }
    _ = await ended()
    timer.cancel()
  }
}

/// The end of a child, for Swift tasks that wait for it.
private final class ProcessEnding: Sendable {
  private struct State: Sendable {
    var status: String?
    var waiters: [Int: CheckedContinuation<String, Never>] = [:]
    var lastWaiter = 0
  }
  private let state = Mutex(State())

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

  func came(_ status: ExitStatus) {
    let waiters = state.withLock { state in
      state.status = "\(status)"
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume(returning: "\(status)") }
  }
}
