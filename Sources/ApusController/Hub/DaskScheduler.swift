import ApusMessaging
import Foundation

/// A Python process that runs Dask's scheduler and prints its address as one line of JSON.
///
/// It ends when its standard input does, so it cannot outlive the controller.
final class DaskScheduler {
  /// What `become_dask_reply` says; nil until the scheduler is up.
  var address: JSONValue?
  private let process = Process()
  private let input = Pipe()

  /// - Parameters:
  ///   - arguments: keyword arguments of `distributed.Scheduler`.
  ///   - done: called once, on some thread.
  init(
    python: String, pythonPath: String?, arguments: JSONValue, done: @escaping @Sendable (Result<JSONValue, RemoteError>) -> Void
  ) {
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [python, "-m", "apus.dask_scheduler", arguments.text]
    var environment = ProcessInfo.processInfo.environment
    if let pythonPath {
      environment["PYTHONPATH"] = [pythonPath, environment["PYTHONPATH"]].compactMap { $0 }.joined(separator: ":")
    }
    process.environment = environment
    process.standardInput = input
    process.standardOutput = output
    do { try process.run() } catch {
      done(.failure(RemoteError(name: "RuntimeError", value: "cannot run \(python): \(error.localizedDescription)")))
      return
    }
    let line = LineReader(done: done)
    output.fileHandleForReading.readabilityHandler = { handle in line.append(handle.availableData, from: handle) }
  }

  func stop() {
    try? input.fileHandleForWriting.close()
    if process.isRunning { process.terminate() }
  }

  /// Collects the process's first line. Its calls come one after another, from the file handle's queue.
  private final class LineReader: @unchecked Sendable {
    private var text = Data()
    private var done: (@Sendable (Result<JSONValue, RemoteError>) -> Void)?

    init(done: @escaping @Sendable (Result<JSONValue, RemoteError>) -> Void) { self.done = done }

    func append(_ data: Data, from handle: FileHandle) {
      if data.isEmpty {
        handle.readabilityHandler = nil
        finish(
          .failure(
            RemoteError(name: "RuntimeError", value: "Dask's scheduler ended before it was ready; is `distributed` installed?")))
        return
      }
      text.append(data)
      guard let end = text.firstIndex(of: 0x0A) else { return }
      // What follows is of no interest, but the pipe must not fill up.
      do { finish(.success(try JSONValue(parsing: Array(text[..<end])))) } catch {
        finish(
          .failure(RemoteError(name: "RuntimeError", value: "Dask's scheduler said something else than its address: \(error)")))
      }
    }

    private func finish(_ outcome: Result<JSONValue, RemoteError>) {
      done?(outcome)
      done = nil
    }
  }
}
