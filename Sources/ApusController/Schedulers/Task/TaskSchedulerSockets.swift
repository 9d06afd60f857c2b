import ApusMessaging
import Logging
import ZeroMQ

/// The task scheduler's sockets, which are also its state's effects: a decision becomes a message here.
struct TaskSchedulerSockets: ~Copyable, TaskSchedulerEffects {
  let front: Socket
  var back: EngineSocket
  var session: Session
  var rejections: DroppedMessages
  let events: TaskEventStream

  mutating func send(_ request: Envelope, to engine: EngineUUID) {
    back.send(to: engine, request.identities.first, request.payload)
  }

  mutating func relay(_ reply: Envelope, to request: Envelope) { send(reply.payload, to: request.identities) }

  mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope {
    let content: JSONValue
    let metadata: JSONValue
    switch failure {
    case .error(let error): (content, metadata) = (error.content, [:])
    case .aborted: (content, metadata) = (["status": "aborted"], ["status": "aborted"])
    }
    // ipyparallel's clients accept an `apply_reply` for any request; an execute_request deserves its own kind.
    let type = request.messageType == .executeRequest ? MessageType.executeReply : .applyReply
    let reply = session.message(type, content: content, parentHeader: request.headerFrame, metadata: metadata)
    send(reply.payload, to: request.identities)
    return reply
  }

  mutating func report(_ event: TaskEvent) { events.report(event) }

  private func send(_ payload: ArraySlice<Frame>, to identities: ArraySlice<Frame>) {
    guard let client = identities.first else { return }
    // A client that has gone is no error: libzmq drops the message.
    try? front.send(client, nil, payload)
  }
}
