import ApusMessaging
import ApusProcess
import Glibc
import Transport

/// A Python process that runs Dask's scheduler and prints its address as one line of JSON.
///
/// Lives on a loop, where its output is read.
final class DaskScheduler {
  /// What `become_dask_reply` says; nil until the scheduler is up.
  var address: JSONValue?
  private let process: FollowingProcess
  private let output: OutputLine

  /// - Parameters:
  ///   - arguments: keyword arguments of `distributed.Scheduler`.
  ///   - done: called once, on the loop.
  init(
    python: String, pythonPath: String?, arguments: JSONValue, loop: EventLoop,
    done: @escaping @Sendable (Result<JSONValue, RemoteError>) -> Void
  ) throws(ProcessError) {
    var environment = Environment.current()
    if let pythonPath {
      environment["PYTHONPATH"] = [pythonPath, environment["PYTHONPATH"]].compactMap { $0 }.joined(separator: ":")
    }
    let command = ChildProcess.Command(
      program: python, arguments: [python, "-m", "apus.dask_scheduler", arguments.text], environment: environment)
    let (ours, theirs) = try Pipe.open(isNonblocking: false)
    defer { close(theirs) }
    do throws(ProcessError) {
      process = try FollowingProcess(command, output: .descriptor(theirs), errors: .inherited) { _ in }
    } catch {
      close(ours)
      throw error
    }
    output = OutputLine(ours, loop: loop, done: done)
  }

  deinit { stop() }

  func stop() {
    process.closeInput()
    process.send(SIGTERM)
    output.stop()
  }
}

/// The first line that a process prints; what follows is read away, or its pipe would fill up.
///
/// `@unchecked Sendable`: lives on its loop.
private final class OutputLine: @unchecked Sendable {
  private let descriptor: Int32
  private var text: [UInt8] = []
  private var done: (@Sendable (Result<JSONValue, RemoteError>) -> Void)?
  private var reader: EventLoop.ReaderID?
  private let loop: EventLoop
  /// An address is far shorter.
  private static let limit = 1 << 20

  init(_ descriptor: Int32, loop: EventLoop, done: @escaping @Sendable (Result<JSONValue, RemoteError>) -> Void) {
    self.descriptor = descriptor
    self.loop = loop
    self.done = done
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    // Held by its reader until the process has ended.
    reader = loop.whenReadable(descriptor: descriptor) { self.read() }
  }

  deinit { close(descriptor) }

  /// Nobody wants to hear more.
  func stop() {
    if let reader { loop.forget(reader) }
    reader = nil
    done = nil
  }

  private func read() {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    if count < 0, errno == EINTR || errno == EAGAIN { return }
    guard count > 0 else {
      defer { stop() }
      return finish(
        .failure(
          RemoteError(name: "RuntimeError", value: "Dask's scheduler ended before it was ready; is `distributed` installed?")))
    }
    guard done != nil else { return }
    text += buffer[..<count]
    guard let end = text.firstIndex(of: 0x0A) else {
      if text.count > Self.limit { finish(.failure(RemoteError(name: "RuntimeError", value: "Dask's scheduler says no address"))) }
      return
    }
    do { finish(.success(try JSONValue(parsing: Array(text[..<end])))) } catch {
      finish(.failure(RemoteError(name: "RuntimeError", value: "Dask's scheduler said something else than its address: \(error)")))
    }
  }

  private func finish(_ outcome: Result<JSONValue, RemoteError>) {
    done?(outcome)
    done = nil
    text = []
  }
}
