import ApusMessaging
import Logging
import ZeroMQ

/// The task scheduler's sockets, which are also its state's effects: a decision becomes a message here.
///
/// Messages leave together, when a turn has read what there was: libzmq's thread is woken once for all of them and puts many
/// into one packet. Sent one by one, each would wake it, and cost it and the receiver a system call.
struct TaskSchedulerSockets: ~Copyable, TaskSchedulerEffects {
  let front: Socket
  var back: EngineSocket
  var session: Session
  var rejections: DroppedMessages
  let events: TaskEventStream
  private(set) var outbox: [Letter] = []

  enum Letter {
    case request(Envelope, EngineUUID)
    case reply(ArraySlice<Frame>, client: Frame)
  }

  /// So many do not wait for the end of the turn: the others' work can begin.
  private static let fullOutbox = 32

  mutating func send(_ request: Envelope, to engine: EngineUUID) { post(.request(request, engine)) }

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

  private mutating func send(_ payload: ArraySlice<Frame>, to identities: ArraySlice<Frame>) {
    if let client = identities.first { post(.reply(payload, client: client)) }
  }

  private mutating func post(_ letter: Letter) {
    outbox.append(letter)
    if outbox.count >= Self.fullOutbox { deliver() }
  }

  /// At the end of each turn.
  mutating func deliver() {
    if outbox.isEmpty { return }
    for letter in outbox {
      switch letter {
      case .request(let request, let engine): back.send(to: engine, request.identities.first, request.payload)
      // A client that has gone is no error: libzmq drops the message.
      case .reply(let payload, let client): try? front.send(client, nil, payload)
      }
    }
    outbox.removeAll(keepingCapacity: true)
  }
}
