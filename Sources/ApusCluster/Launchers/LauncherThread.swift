import ApusProcess
import Glibc
import Synchronization

/// A launcher on a thread of its own: its commands may take seconds, and whoever supervises the cluster must hear signals meanwhile.
final class LauncherThread: Sendable {
  /// Readable when there are events.
  let descriptor: Int32
  private let eventEnd: Int32
  private let requestDescriptor: Int32
  private let requestEnd: Int32
  private struct Mailbox {
    var requests: [LauncherSteps.Request] = []
    var events: [LauncherSteps.Event] = []
    var isFinished = false
  }
  private let mailbox = Mutex(Mailbox())
  /// Raised for a stop: what is asked at that moment, perhaps of a host that will not answer, is not waited for.
  private let interruption: Interruption

  init(_ steps: LauncherSteps) throws(ClusterError) {
    do throws(ProcessError) {
      (descriptor, eventEnd) = try Pipe.open()
      (requestDescriptor, requestEnd) = try Pipe.open()
      interruption = try Interruption()
    } catch { throw ClusterError(error) }
    if let refusal = DetachedThread.start({ [self] in run(steps) }) {
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  deinit { for end in [descriptor, eventEnd, requestDescriptor, requestEnd] { close(end) } }

  func send(_ request: LauncherSteps.Request) {
    mailbox.withLock { $0.requests.append(request) }
    if case .stop = request { interruption.raise() }
    Self.wake(requestEnd)
  }

  /// The thread ends when it has done what it was asked for; its engines go on.
  func finish() {
    mailbox.withLock { $0.isFinished = true }
    Self.wake(requestEnd)
  }

  /// What has happened since the last call.
  func read() -> [LauncherSteps.Event] {
    Self.clear(descriptor)
    return mailbox.withLock { box in
      defer { box.events = [] }
      return box.events
    }
  }

  private static func wake(_ end: Int32) {
    var byte: UInt8 = 1
    _ = write(end, &byte, 1)
  }

  private static func clear(_ descriptor: Int32) {
    var bytes = [UInt8](repeating: 0, count: 256)
    while Glibc.read(descriptor, &bytes, bytes.count) > 0 {}
  }

  private func run(_ given: LauncherSteps) {
    var steps = given
    steps.heed(interruption)
    var watches: [Int32: Int32] = [:]
    defer { for descriptor in watches.values { close(descriptor) } }
    while true {
      // Before the requests are taken: one that comes after is heard.
      interruption.clear()
      let (requests, isFinished) = mailbox.withLock { box in
        defer { box.requests = [] }
        return (box.requests, box.isFinished)
      }
      for request in requests { tell(steps.perform(request)) }
      if requests.isEmpty {
        if isFinished { return }
        Self.watch(steps.launcher.children, &watches)
        var descriptors = ([requestDescriptor] + watches.values).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let pause = steps.live.isEmpty ? -1 : Int32(clamping: steps.schedule.pause.milliseconds)
        let count = poll(&descriptors, nfds_t(descriptors.count), pause)
        if count == 0 || descriptors.dropFirst().contains(where: { $0.revents != 0 }) { tell(steps.perform(.look)) }
        Self.clear(requestDescriptor)
      }
    }
  }

  /// Opens what tells of the ends of children, and closes what has told of one.
  private static func watch(_ children: Set<Int32>, _ watches: inout [Int32: Int32]) {
    for (pid, descriptor) in watches where !children.contains(pid) {
      close(descriptor)
      watches[pid] = nil
    }
    for pid in children where watches[pid] == nil { watches[pid] = ProcessDescriptor.open(pid) }
  }

  private func tell(_ events: [LauncherSteps.Event]) {
    guard !events.isEmpty else { return }
    mailbox.withLock { $0.events += events }
    Self.wake(eventEnd)
  }
}
