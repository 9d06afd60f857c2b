import Glibc
import Synchronization

/// A child that ends when its standard input does: a pipe whose other end is ours, so it cannot outlive this process.
public final class FollowingProcess: Sendable {
  private let process: WatchedProcess
  /// Our end; `nil` once it is closed.
  private let input: Mutex<Int32?>

  /// Signals of a terminal reach us alone: it is for us to end it.
  /// - Parameters:
  ///   - errors: `nil` goes where the output goes.
  ///   - onEnd: as of `WatchedProcess`.
  public init(
    _ command: ChildProcess.Command, output: ChildProcess.Stream, errors: ChildProcess.Stream? = nil,
    onEnd: @escaping @Sendable (ExitStatus) -> Void
  ) throws(ProcessError) {
    let (theirs, ours) = try Pipe.open(isNonblocking: false)
    defer { close(theirs) }
    do throws(ProcessError) {
      let pid = try command.spawn(input: .descriptor(theirs), output: output, errors: errors, isolation: .group)
      process = WatchedProcess(pid: pid, onEnd: onEnd)
    } catch {
      close(ours)
      throw error
    }
    input = Mutex(ours)
  }

  deinit { closeInput() }

  /// Asks it to end by itself.
  public func closeInput() { if let descriptor = input.withLock({ $0.take() }) { close(descriptor) } }

  public func send(_ signal: Int32) { process.send(signal) }
}
