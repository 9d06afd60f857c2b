import Glibc

/// A command that is run to its end, with what it says: `sbatch`, `qstat`, `ssh`.
public struct ToolCommand: Sendable, Hashable {
  /// What came of it.
  public struct Result: Sendable, Hashable {
    /// `nil` where the time was over and it was killed.
    public var status: ExitStatus?
    public var output: String
    public var errors: String
    /// How long it took; it does not count where results are compared.
    public var elapsed = Duration.zero

    public init(status: ExitStatus?, output: String, errors: String, elapsed: Duration = .zero) {
      self.status = status
      self.output = output
      self.errors = errors
      self.elapsed = elapsed
    }

    public static func == (a: Result, b: Result) -> Bool {
      a.status == b.status && a.output == b.output && a.errors == b.errors
    }

    public func hash(into hasher: inout Hasher) {
      hasher.combine(status)
      hasher.combine(output)
    }

    public var isSuccess: Bool { status?.isSuccess ?? false }
  }

  public var command: ChildProcess.Command
  /// For its standard input.
  public var input: String
  /// How long it may take.
  public var limit: Duration
  /// Gets what it says, in the place of a pipe to us: it goes on, and others can read it, if this process is killed meanwhile. For as long
  /// as the command runs it holds a lock on this file (`flock`). What it says as errors goes into a file beside it, ending in `.errors`.
  public var record: String?

  public init(_ words: [String], environment: Environment, input: String = "", limit: Duration = .seconds(60)) {
    command = .init(program: words.first ?? "", arguments: words, environment: environment)
    self.input = input
    self.limit = limit
  }

  public func run() throws(ProcessError) -> Result {
    // One command has one result.
    try Self.run([self])[0]
  }

  /// Runs several at the same time.
  /// - Parameters:
  ///   - interruption: what cuts them short.
  ///   - grace: how long they may go on when it is raised.
  /// - Returns: their results, in their order.
  /// - Throws: where one cannot be started; those before it are killed.
  public static func run(_ commands: [ToolCommand], until interruption: Interruption? = nil, grace: Duration = .zero)
    throws(ProcessError) -> [Result]
  {
    var running: [RunningTool] = []
    // Heard once.
    var heard = interruption
    for command in commands {
      do throws(ProcessError) { running.append(try RunningTool(command)) } catch {
        for index in running.indices { running[index].abandon() }
        throw error
      }
    }
    while true {
      var earliest: Duration?
      var isOpen = false
      for index in running.indices where !running[index].isFinished {
        running[index].look(now: RunningTool.now)
        guard !running[index].isFinished else { continue }
        isOpen = true
        earliest = min(earliest ?? running[index].deadline, running[index].deadline)
      }
      guard isOpen, let earliest else { break }
      var descriptors = running.flatMap(\.descriptors)
      // A child's end is no event where the kernel has no descriptor for it.
      let isBlind = running.contains { !$0.isFinished && !$0.tellsItsEnd }
      if let heard { descriptors.append(pollfd(fd: heard.descriptor, events: Int16(POLLIN), revents: 0)) }
      let left = max(0, Int((earliest - RunningTool.now) / .milliseconds(1)) + 1)
      _ = poll(&descriptors, nfds_t(descriptors.count), Int32(clamping: isBlind ? min(left, 20) : left))
      guard heard != nil, descriptors.last?.revents != 0 else { continue }
      heard = nil
      for index in running.indices { running[index].end(within: grace) }
    }
    return running.map(\.result)
  }
}

/// One command under way.
private struct RunningTool {
  private let pid: Int32
  private var input: ArraySlice<UInt8>
  private var inputEnd: Int32
  private var ends: [Int32]
  private var texts: [[UInt8]] = [[], []]
  private var end: Int32
  private var status: ExitStatus?
  private var record: String?
  private(set) var isFinished = false
  private(set) var deadline: Duration
  private let began: Duration
  private var elapsed = Duration.zero
  /// What a command says beyond this is not kept.
  private static let mostBytes = 4 << 20

  init(_ tool: ToolCommand) throws(ProcessError) {
    let (readEnd, writeEnd) = try Pipe.open(isNonblocking: false)
    var targets: [Int32] = []
    defer { for descriptor in [readEnd] + targets { close(descriptor) } }
    inputEnd = writeEnd
    record = tool.record
    ends = []
    if let record {
      for path in Self.files(record) { targets.append(try Self.locked(path)) }
      ends = [-1, -1]
    } else {
      for _ in 0..<2 {
        let (end, target) = try Pipe.open(isNonblocking: false)
        ends.append(end)
        targets.append(target)
      }
    }
    for descriptor in [writeEnd] + ends where descriptor >= 0 { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    input = Array(tool.input.utf8)[...]
    began = Self.now
    deadline = began + tool.limit
    do throws(ProcessError) {
      pid = try tool.command.spawn(
        input: .descriptor(readEnd), output: .descriptor(targets[0]), errors: .descriptor(targets[1]), isolation: .session)
    } catch {
      for descriptor in [writeEnd] + ends where descriptor >= 0 { close(descriptor) }
      throw error
    }
    end = ProcessDescriptor.open(pid) ?? -1
    feed()
  }

  private static func files(_ record: String) -> [String] { [record, record + ".errors"] }

  /// The lock is the open file's: a child that has it open holds it, too.
  private static func locked(_ path: String) throws(ProcessError) -> Int32 {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw ProcessError(file: path, code: errno) }
    // A file system without locks is no reason to do nothing.
    _ = flock(descriptor, LOCK_EX | LOCK_NB)
    return descriptor
  }

  static var now: Duration {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  var tellsItsEnd: Bool { end >= 0 }
  var result: ToolCommand.Result {
    .init(
      status: status, output: String(decoding: texts[0], as: UTF8.self), errors: String(decoding: texts[1], as: UTF8.self),
      elapsed: elapsed)
  }

  var descriptors: [pollfd] {
    guard !isFinished else { return [] }
    var found = ends.filter { $0 >= 0 }.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    if end >= 0 { found.append(pollfd(fd: end, events: Int16(POLLIN), revents: 0)) }
    if inputEnd >= 0 { found.append(pollfd(fd: inputEnd, events: Int16(POLLOUT), revents: 0)) }
    return found
  }

  mutating func look(now: Duration) {
    feed()
    drain()
    var code: Int32 = 0
    let ended = waitpid(pid, &code, WNOHANG)
    if ended == pid || ended < 0 && errno != EINTR {
      status = ended == pid ? ExitStatus(waitStatus: code) : .exited(0)
      // Not until the pipes close: what it left running in the background, as ssh does, may hold them for hours.
      drain()
      finish()
    } else if now >= deadline {
      abandon()
    }
  }

  mutating func end(within grace: Duration) { deadline = min(deadline, Self.now + grace) }

  mutating func abandon() {
    guard !isFinished else { return }
    kill(-pid, SIGKILL)
    var code: Int32 = 0
    while waitpid(pid, &code, 0) < 0, errno == EINTR {}
    drain()
    finish()
  }

  private mutating func finish() {
    isFinished = true
    elapsed = Self.now - began
    if let record { texts = Self.files(record).map { Self.bytes(of: $0) } }
    for descriptor in ends + [end, inputEnd] where descriptor >= 0 { close(descriptor) }
    ends = [-1, -1]
    end = -1
    inputEnd = -1
  }

  private static func bytes(of path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: mostBytes)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return Array(bytes.prefix(max(0, count)))
  }

  private mutating func feed() {
    guard inputEnd >= 0 else { return }
    while !input.isEmpty {
      let count = writeQuietly()
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return }
      // It reads no more.
      if count <= 0 { break }
      input = input.dropFirst(count)
    }
    close(inputEnd)
    inputEnd = -1
  }

  /// A command that does not read its input is no reason to end this program: SIGPIPE is held back and taken.
  private func writeQuietly() -> Int {
    var pipe = sigset_t()
    var before = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    let count = input.withUnsafeBytes { write(inputEnd, $0.baseAddress, $0.count) }
    let code = errno
    if count < 0, code == EPIPE {
      var none = timespec()
      _ = sigtimedwait(&pipe, nil, &none)
    }
    pthread_sigmask(SIG_SETMASK, &before, nil)
    errno = code
    return count
  }

  private mutating func drain() {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    for index in ends.indices where ends[index] >= 0 {
      while true {
        let count = read(ends[index], &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        if count > 0 {
          if texts[index].count < Self.mostBytes { texts[index] += buffer[..<count] }
          continue
        }
        if count == 0 {
          close(ends[index])
          ends[index] = -1
        }
        break
      }
    }
  }
}
