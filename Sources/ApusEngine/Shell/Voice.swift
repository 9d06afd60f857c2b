import ApusMessaging
import Glibc
import Synchronization
import Transport

/// Makes and signs the engine's messages, from any of its threads. The session's id is the engine's name, as peers expect.
final class Voice: Sendable {
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

  func message(
    _ type: MessageType, content: Frame, parent: Frame, metadata: Frame, identities: [Frame], buffers: [Frame] = [],
    forBatch: Bool = false
  ) -> Envelope {
    let id = MessageID(prefix + String(counter.wrappingAdd(1, ordering: .relaxed).oldValue))
    return session.withLock { session in
      session.seal(
        identities: identities, header: session.header(type, id: id), parentHeader: parent, metadata: metadata, content: content,
        buffers: buffers, forBatch: forBatch)
    }
  }

  func sign(_ batch: inout MessageBatchWriter) -> [Frame] { session.withLock { batch.take(signedBy: $0.signer) } }

  func signed(_ message: Envelope) -> [Frame] {
    session.withLock { Array(message.identities) + message.payload(signedBy: $0.signer) }
  }

  func changeKey(_ key: String) {
    session.withLock { $0 = Session(id: SessionID(uuid.text), key: key, username: "engine") }
  }
}
