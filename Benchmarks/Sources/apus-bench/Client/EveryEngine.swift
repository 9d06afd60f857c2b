import ApusMessaging
import CZeroMQ
import Transport

/// One direct task to each engine: are they there, and do they answer?
final class EveryEngine {
  private let socket: LoadSocket
  private var session: Session
  private let parts = MessageParts()

  init(_ connection: ConnectionFile, in context: LoadContext) throws(LoadError) {
    session = Session(key: connection.key, username: "bench")
    socket = try LoadSocket(.dealer, in: context)
    socket.set(ZMQ_RCVTIMEO, 10_000)
    try socket.connect(connection, port: connection.mux)
  }

  /// - Returns: seconds until all have answered.
  func ask(_ uuids: [String]) throws(LoadError) -> Double {
    let began = Clock.seconds()
    var open: Set<MessageID> = []
    for uuid in uuids {
      let request = session.message(.applyRequest, metadata: ["label": .null], identities: [Frame(uuid)], buffers: [Frame("x")])
      guard let id = request.messageID else { throw LoadError("a request without an id") }
      open.insert(id)
      try socket.send(request.frames)
    }
    while !open.isEmpty {
      guard parts.receive(from: socket, wait: true) else {
        throw LoadError("\(open.count) of \(uuids.count) engines do not answer")
      }
      if let reply = Envelope(parts.frames), let id = reply.parentID { open.remove(id) }
    }
    return Clock.seconds() - began
  }
}
