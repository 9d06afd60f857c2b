import ApusProcess
import ApusMessaging
import Glibc
import Synchronization
import Transport

/// Knows how many engines a controller has, as a client of it: works with ours and with ipyparallel's.
///
/// A thread of its own for the seconds of a start: it asks, sleeps until a notification comes, and asks again. Afterwards it is gone, and with it
/// libzmq's threads.
final class RegistrationWatch: Sendable {
  /// A number of engines as four bytes whenever the controller has answered.
  let descriptor: Int32
  private let writeEnd: Int32
  private let file: ConnectionFile
  private let isStopped = Atomic(false)

  init(_ file: ConnectionFile) throws(ClusterError) {
    self.file = file
    do throws(ProcessError) { (descriptor, writeEnd) = try Pipe.open() } catch { throw ClusterError(error) }
    // The thread holds the watch for as long as it runs.
    if let refusal = DetachedThread.start({ [self] in run() }) {
      throw ClusterError(.failure, "no thread could be started: \(refusal)")
    }
  }

  deinit {
    close(descriptor)
    close(writeEnd)
  }

  /// Whether a controller answers.
  /// - Parameter patience: one that is not there does not say so.
  static func answers(_ file: ConnectionFile, within patience: Duration = .seconds(1)) -> Bool {
    guard let watch = try? RegistrationWatch(file) else { return false }
    defer { watch.stop() }
    var descriptors = [pollfd(fd: watch.descriptor, events: Int16(POLLIN), revents: 0)]
    let deadline = MonotonicClock.now + patience
    while true {
      let left = (deadline - MonotonicClock.now).milliseconds
      let count = poll(&descriptors, 1, Int32(clamping: max(0, left)))
      if count > 0 { return watch.read() != nil }
      if count == 0 || errno != EINTR { return false }
    }
  }

  /// The thread ends within a second.
  func stop() { isStopped.store(true, ordering: .relaxed) }

  /// The newest number, if one came.
  func read() -> Int? {
    var newest: Int32?
    var count: Int32 = 0
    while Glibc.read(descriptor, &count, 4) == 4 { newest = count }
    return newest.map(Int.init)
  }

  private func run() {
    do {
      let context = try Context()
      let requests = try Socket(.dealer, in: context)
      let notifications = try Socket(.sub, in: context)
      try notifications.set(.subscribe, [])
      if let key = file.curveServerKey, !key.isEmpty {
        let keys = try CurveKeyPair.generate()
        try requests.useCurve(keys, server: key)
        try notifications.useCurve(keys, server: key)
      }
      if case .client(let port, _, _) = file.side { try notifications.connect(file.reachableEndpoint(port: port)) }
      try requests.connect(file.reachableEndpoint(port: file.registration))
      var session = Session(key: file.key)
      while !isStopped.load(ordering: .relaxed) {
        let request = session.message(.connectionRequest)
        try requests.send(request.frames)
        while try requests.waitReadable(milliseconds: 1000), let frames = try requests.receive() {
          guard let reply = try? session.open(frames), reply.parentID == request.messageID,
            let engines = (try? reply.content())?["engines"]?.objectValue
          else { continue }
          var count = Int32(clamping: engines.count)
          _ = write(writeEnd, &count, 4)
          break
        }
        // A notification that came before the subscription did is made up for by asking every second.
        if try notifications.waitReadable(milliseconds: 1000) { while try notifications.receive() != nil {} }
      }
    } catch {
      // The launcher's own time limit tells the user: without libzmq there is nothing to watch.
    }
  }
}

extension ConnectionFile {
  /// For a client on the controller's host, or on one that knows its name.
  func reachableEndpoint(port: Int) -> String {
    guard host == "*" || host == "0.0.0.0" else { return endpoint(port: port) }
    var name = [CChar](repeating: 0, count: 256)
    let isHere = location.isEmpty || gethostname(&name, 255) == 0 && strcmp(name, location) == 0
    return endpoint(port: port, host: isHere ? "127.0.0.1" : location)
  }
}
