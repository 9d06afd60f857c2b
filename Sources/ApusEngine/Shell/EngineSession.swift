import ApusMessaging
import Glibc
import Synchronization
import Transport

/// Makes and signs the engine's messages, from any of its threads. The session's id is the engine's name, as peers expect.
final class EngineSession: Sendable {
  let uuid: EngineUUID
  /// Behind a mutex because a restarted controller brings another key.
  private let session: Mutex<Session>
  private let prefix: String
  private let counter = Atomic<Int>(0)
  /// `{"engine": "<uuid>"}`: the metadata of what the engine says on its own.
  let engineMetadata: Frame

  init(uuid: EngineUUID, key: String) {
    self.uuid = uuid
    session = Mutex(Session(id: SessionID(uuid.text), key: key, username: "engine"))
    prefix = "\(uuid.text)_\(getpid())_"
    engineMetadata = Frame(["engine": .string(uuid.text)])
  }

  private func nextID() -> MessageID { MessageID(prefix + String(counter.wrappingAdd(1, ordering: .relaxed).oldValue)) }

  func message(
    _ type: MessageType, content: Frame, parent: Frame, metadata: Frame, identities: [Frame], buffers: [Frame] = [],
    forBatch: Bool = false, sealedFor scope: MessageScope? = nil
  ) -> Envelope {
    let id = nextID()
    return session.withLock { session in
      session.signed(
        identities: identities, header: session.header(type, id: id), parentHeader: parent, metadata: metadata, content: content,
        buffers: buffers, forBatch: forBatch, sealedFor: scope)
    }
  }

  func sign(_ batch: inout MessageBatchWriter) -> [Frame] {
    session.withLock { batch.take(signedBy: $0.signer, .engineToScheduler) }
  }

  /// One that was made for a batch and does not fit goes sealed.
  func sealed(_ message: Envelope) -> [Frame] {
    let payload =
      message.signature.isEmpty
      ? session.withLock { message.payload(sealedBy: $0.signer, for: .reply(.task)) } : message.payload
    return Array(message.identities) + payload
  }

  /// A reply to a balanced task once more, for a controller that may have seen it before it knew what to make of it: under another name, or it
  /// would drop it as a replay. Its date says when the task had ended, and stays.
  func renewed(_ reply: Envelope) -> Envelope {
    guard var header = Header(reply.headerFrame) else { return reply }
    header.id = nextID()
    let frame = Frame(header.json)
    return session.withLock { session in
      session.signed(
        identities: Array(reply.identities), header: frame, parentHeader: reply.parentHeaderFrame, metadata: reply.metadataFrame,
        content: reply.contentFrame, buffers: Array(reply.buffers), forBatch: reply.signature.isEmpty,
        sealedFor: reply.isSealed ? .reply(.task) : nil)
    }
  }

  func changeKey(_ key: String) {
    session.withLock { $0 = Session(id: SessionID(uuid.text), key: key, username: "engine") }
  }
}
