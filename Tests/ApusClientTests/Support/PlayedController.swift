import ApusMessaging
import Glibc
import TestSupport
import Testing
import Transport

@testable import ApusClient

/// As little of a controller of this host as a test needs: a hub that answers when it is told to, and lines. It goes with its last holder, and
/// another may take its place in the same folder.
final class PlayedController {
  static let key = "0123456789"

  private let folder: TemporaryDirectory
  private var session = Session(key: key)
  private let listener: LocalListener
  private let hub: Socket
  private let tasks: Socket
  private let direct: Socket
  private var notification: Socket?

  /// The ports name files of the folder.
  private enum Port {
    static let registration = 1
    static let notification = 2
    static let task = 3
    static let others = 4
    static let mux = 5
  }

  init(in folder: TemporaryDirectory) throws {
    self.folder = folder
    listener = try #require(LocalListener(path: LocalSocket.linesPath(in: folder.path)))
    hub = try Self.bound(.router, Port.registration, in: folder)
    tasks = try Self.bound(.router, Port.task, in: folder)
    direct = try Self.bound(.router, Port.mux, in: folder)
  }

  /// A context each: it ends when its socket has given the file back.
  private static func bound(_ kind: Socket.Kind, _ port: Int, in folder: TemporaryDirectory) throws -> Socket {
    let socket = try Socket(kind, in: Context())
    try socket.set(.linger, 0)
    try socket.bindLocal(LocalDirectory.file(String(port), in: folder.path))
    return socket
  }

  var connection: ConnectionFile {
    ConnectionFile(
      interface: "tcp://127.0.0.1", registration: Port.registration, control: Port.others, mux: Port.mux, task: Port.task,
      iopub: Port.others, side: .client(notification: Port.notification, broadcast: Port.others, taskScheme: "leastload"),
      key: Self.key, location: "localhost", localDirectory: folder.path)
  }

  /// From now on clients are connected that hear what the hub says unasked.
  func beginNotifications() throws { notification = try Self.bound(.pub, Port.notification, in: folder) }

  // MARK: the hub

  /// The next question for the engines.
  func query() throws -> Envelope {
    while try hub.waitReadable(milliseconds: 10_000 * patience) {
      guard let frames = try hub.receive() else { continue }
      let query = try session.open(frames, sealedFor: .request(.hub))
      if query.messageType == .connectionRequest { return query }
    }
    throw Missing(what: "a question for the engines")
  }

  /// A journal is kept.
  /// - Parameters:
  ///   - isOwn: as one of Apus's controllers, which says what became of tasks.
  ///   - engines: that there are.
  func answer(_ query: Envelope, isOwn: Bool = false, engines: [RegisteredEngine] = []) throws {
    let list = JSONObject(members: engines.map { ($0.id.description, .string($0.uuid.text)) })
    let answer = session.message(
      MessageType("connection_reply"),
      content: ["status": "ok", "engines": .object(list), "journal": "kept", "batches": .bool(isOwn)],
      parentHeader: query.headerFrame, identities: Array(query.identities))
    try hub.send(answer.frames)
  }

  // MARK: tasks

  /// The next message that comes by libzmq. Meanwhile the hub answers, as one of Apus's.
  func request() throws -> Envelope {
    for _ in 0..<1000 * patience {
      if try tasks.waitReadable(milliseconds: 10), let frames = try tasks.receive() {
        return try session.open(frames, sealedFor: .request(.task))
      }
      while let frames = try hub.receive() {
        let query = try session.open(frames, sealedFor: .request(.hub))
        if query.messageType == .connectionRequest { try answer(query, isOwn: true) }
      }
    }
    throw Missing(what: "a request by libzmq")
  }

  /// The next direct request that comes by libzmq. Meanwhile the hub answers, as one of Apus's.
  func directRequest(_ engines: [RegisteredEngine]) throws -> Envelope {
    for _ in 0..<1000 * patience {
      if try direct.waitReadable(milliseconds: 10), let frames = try direct.receive() {
        return try session.open(frames, sealedFor: .request(.mux))
      }
      while let frames = try hub.receive() {
        let query = try session.open(frames, sealedFor: .request(.hub))
        if query.messageType == .connectionRequest { try answer(query, isOwn: true, engines: engines) }
      }
    }
    throw Missing(what: "a direct request by libzmq")
  }

  /// That it has ended well, by libzmq.
  func reply(to request: Envelope) throws {
    let reply = session.message(
      .applyReply, content: ["status": "ok"], parentHeader: request.headerFrame, identities: Array(request.identities))
    try direct.send(reply.frames)
  }

  // MARK: lines

  /// A client's line, which is not welcomed yet.
  struct Line {
    let socket: LocalSocket
    let greeting: Envelope
    let lane: LocalSocket.Lane

    func next() throws -> [Frame] {
      while true {
        switch socket.receive() {
        case .message(let frames): return frames
        case .closed: throw Missing(what: "a message on the line, which has ended")
        case .nothing: try PlayedController.wait(for: socket.descriptor)
        }
      }
    }
  }

  func line() throws -> Line {
    while true {
      guard let socket = try listener.accept() else {
        try Self.wait(for: listener.descriptor)
        continue
      }
      try Self.wait(for: socket.descriptor)
      guard case .message(let frames) = socket.receive() else { throw Missing(what: "a greeting") }
      let greeting = try session.open(frames)
      let lane = try #require(greeting.content()["lane"]?.stringValue.flatMap { LocalSocket.Lane(rawValue: $0) })
      return Line(socket: socket, greeting: greeting, lane: lane)
    }
  }

  func welcome(_ line: Line) throws {
    let answer = session.message(LocalSocket.welcome, content: ["status": "ok"], parentHeader: line.greeting.headerFrame)
    guard line.socket.send(answer.frames) == .sent else { throw Missing(what: "a line, which has ended") }
  }

  /// That the task has ended well.
  func reply(to request: Envelope, by line: Line, on channel: Frame = LocalSocket.Lane.task) {
    let reply = session.message(.applyReply, content: ["status": "ok"], parentHeader: request.headerFrame)
    #expect(line.socket.send([channel] + reply.frames) == .sent)
  }

  /// That the task has ended well, as it goes by a line; and that its result is lost, as it goes by libzmq.
  func answers(to request: Envelope) -> (byLine: [Frame], lost: [Frame]) {
    let reply = session.message(.applyReply, content: ["status": "ok"], parentHeader: request.headerFrame)
    let lost = session.message(
      .applyReply, content: RemoteError(name: RemoteError.resultLost, value: "").content, parentHeader: request.headerFrame)
    return ([LocalSocket.Lane.task] + reply.frames, lost.frames)
  }

  /// What a test waited for in vain.
  struct Missing: Error { let what: String }

  private static func wait(for descriptor: Int32) throws {
    var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard poll(&item, 1, Int32(10_000 * patience)) == 1 else { throw Missing(what: "anything") }
  }
}
