public import ApusProcess
import Glibc

/// Starts a launcher that stays with its cluster in the background, and waits until that is ready: what `start --daemonize` does where the controller is
/// to be started again.
public struct DetachedSupervisor {
  /// Tells a launcher that it is one, and where its log is.
  public static let variable = "APUS_SUPERVISES"
  /// What it says on its standard output when the cluster is ready: this and its exit code as of then. Other lines are for people.
  public static let readyMark = "supervising "

  private let command: ChildProcess.Command
  private let log: String

  /// - Parameters:
  ///   - command: of this very program, with the arguments of now.
  ///   - log: gets what it says later on.
  public init(_ command: ChildProcess.Command, log: String) {
    self.command = command
    self.log = log
  }

  /// How often the log is looked at while the start goes on.
  private static let glance: Int32 = 100

  /// - Parameters:
  ///   - say: gets results, line by line.
  ///   - note: gets what a start in the foreground would say beside them, as it comes.
  /// - Returns: the exit code of the start.
  public func run(_ say: (String) -> Void, note: (String) -> Void) throws(ClusterError) -> ExitCode {
    let (signals, output, pid): (Int32, Int32, Int32)
    do throws(ProcessError) {
      signals = try SignalPipe.open(for: [SIGINT, SIGTERM, SIGHUP])
      let ends = try Pipe.open(isNonblocking: false)
      output = ends.readEnd
      var command = command
      command.environment[Self.variable] = log
      defer { close(ends.writeEnd) }
      pid = try command.spawn(output: .descriptor(ends.writeEnd), errors: .file(log), isolation: .session)
    } catch { throw ClusterError(error) }
    defer { close(output) }
    var text = ""
    var notes = GrowingLog(path: log)
    var ending: ExitCode?
    while true {
      var descriptors = [
        pollfd(fd: output, events: Int16(POLLIN), revents: 0), pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
      ]
      let ready = poll(&descriptors, 2, Self.glance)
      for line in notes.newLines() { note(line) }
      guard ready > 0 else { continue }
      if descriptors[1].revents != 0, let signal = SignalPipe.read(signals).first {
        // Whoever wanted a cluster in the background has none.
        ending = .ended(bySignal: signal)
        kill(pid, SIGTERM)
      }
      guard descriptors[0].revents != 0 else { continue }
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = read(output, &bytes, bytes.count)
      if count < 0, errno == EINTR { continue }
      if count <= 0 { return ended(pid, ending, &notes, note) }
      text += String(decoding: bytes[..<count], as: UTF8.self)
      while let end = text.firstIndex(of: "\n") {
        let line = String(text[..<end])
        text.removeSubrange(...end)
        if line.hasPrefix(Self.readyMark), ending == nil {
          for line in notes.newLines() { note(line) }
          return ExitCode(rawValue: Int32(line.dropFirst(Self.readyMark.count)) ?? 0)
        }
        say(line)
      }
    }
  }

  /// It has ended before the cluster was ready.
  private func ended(_ pid: Int32, _ ending: ExitCode?, _ notes: inout GrowingLog, _ note: (String) -> Void) -> ExitCode {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    for line in notes.newLines(isComplete: true) { note(line) }
    FileSystem.remove(log)
    if let ending { return ending }
    if case .exited(let code) = ExitStatus(waitStatus: status) { return code == 0 ? .failure : ExitCode(rawValue: code) }
    return .failure
  }
}

/// A log that somebody else writes.
private struct GrowingLog {
  let path: String
  private var position: off_t = 0
  private var rest = ""

  init(path: String) { self.path = path }

  /// What has been written since the last call, in whole lines.
  /// - Parameter isComplete: nothing more comes: the last line need not end.
  mutating func newLines(isComplete: Bool = false) -> [String] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = pread(descriptor, &bytes, bytes.count, position)
      guard count > 0 else { break }
      position += count
      rest += String(decoding: bytes[..<count], as: UTF8.self)
    }
    var lines = rest.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    rest = lines.popLast() ?? ""
    if isComplete, !rest.isEmpty { lines.append(rest) }
    return lines
  }
}
