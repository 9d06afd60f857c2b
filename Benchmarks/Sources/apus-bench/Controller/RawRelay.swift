import ApusMessaging
import CZeroMQ
import Glibc

/// Two ROUTERs and a thread between them. Engines say hello with an empty message; each task goes to the engine that has the fewest.
final class RawRelay {
  private struct Engine {
    let identity: [UInt8]
    var load = 0
  }

  private let front: LoadSocket
  private let back: LoadSocket
  private let ports: (front: Int, back: Int)
  private var engines: [Engine] = []
  private let parts = MessageParts()

  private static let batch = 256

  init() throws(LoadError) {
    let context = try LoadContext()
    front = try LoadSocket(.router, in: context)
    back = try LoadSocket(.router, in: context, identity: "task_out")
    ports = (try front.bindToFreePort(), try back.bindToFreePort())
  }

  /// Connection files in which only the task ports mean anything.
  func writeFiles(to directory: String) throws(LoadError) {
    let key = SessionID.random().text
    func write(_ name: String, task: Int, _ side: ConnectionFile.Side) throws(LoadError) {
      let file = ConnectionFile(
        interface: "tcp://127.0.0.1", registration: 1, control: 1, mux: 1, task: task, iopub: 1, side: side, key: key,
        location: "localhost")
      do { try AtomicFile.write(file.json.encoded(pretty: true), to: "\(directory)/ipcontroller-\(name).json", mode: 0o600) } catch
      {
        throw LoadError("\(error)")
      }
    }
    try write("client", task: ports.front, .client(notification: 1, broadcast: 1, taskScheme: "leastload"))
    try write("engine", task: ports.back, .engine(heartbeatPing: 1, heartbeatPong: 1, broadcast: [1]))
  }

  func run(engines count: Int) throws(LoadError) {
    while engines.count < count {
      _ = back.waitReadable(milliseconds: -1)
      relayReplies()
    }
    var items = [front.handle, back.handle].map { zmq_pollitem_t(socket: $0, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0) }
    while true {
      if zmq_poll(&items, 2, -1) < 0, zmq_errno() != EINTR { throw LoadError("poll: \(LoadSocket.reason())") }
      relayReplies()
      relayRequests()
    }
  }

  private func relayReplies() {
    for _ in 0..<Self.batch {
      guard parts.receive(from: back) else { return }
      let sender = parts.bytes(0)
      let index = engines.firstIndex { $0.identity.elementsEqual(sender) }
      guard parts.count > 2, let index else {
        if index == nil { engines.append(Engine(identity: Array(sender))) }
        continue
      }
      engines[index].load -= 1
      for part in 1..<parts.count { parts.send(part, on: front, more: part + 1 < parts.count) }
    }
  }

  private func relayRequests() {
    for _ in 0..<Self.batch {
      guard parts.receive(from: front), let index = engines.indices.min(by: { engines[$0].load < engines[$1].load }) else { return }
      engines[index].load += 1
      engines[index].identity.withUnsafeBytes { _ = zmq_send(back.handle, $0.baseAddress, $0.count, ZMQ_SNDMORE) }
      for part in 0..<parts.count { parts.send(part, on: back, more: part + 1 < parts.count) }
    }
  }
}
