import ApusMessaging
import Glibc
import Transport

@testable import ApusController

/// The one that the schedulers use.
typealias SeededRandom = ApusController.SeededGenerator

extension SeededRandom {
  /// New in every run, or `APUS_SEED`; a test that fails names it.
  static func newSeed() -> UInt64 {
    if let text = getenv("APUS_SEED"), let seed = UInt64(String(cString: text)) { return seed }
    return .random(in: 0...UInt64(UInt32.max))
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

  mutating func bytes(_ counts: ClosedRange<Int>) -> [UInt8] {
    (0..<Int.random(in: counts, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}

/// Messages as short as a state needs them.
enum Messages {
  static func request(
    _ id: MessageID, type: MessageType = .applyRequest, client: String = "client", metadata: JSONValue = [:], signature: String = ""
  )
    -> Envelope
  {
    Envelope(
      identities: [Frame(client)], signature: signature.isEmpty ? .empty : Frame(signature),
      header: Frame(["msg_id": .string(id.text), "msg_type": .string(type.text)]),
      parentHeader: .emptyObject, metadata: Frame(metadata), content: .emptyObject, buffers: [Frame("payload of \(id)")])
  }

  static func reply(
    to id: MessageID, from engine: String = "engine", metadata: JSONValue = ["status": "ok"], buffers: [Frame] = [],
    errorName: String? = nil
  ) -> Envelope {
    var content: JSONObject = ["status": metadata["status"] ?? "ok"]
    if let errorName { content["ename"] = .string(errorName) }
    return Envelope(
      identities: [Frame(engine), Frame("client")], signature: .empty,
      header: Frame(["msg_id": "reply-\(id)", "msg_type": "apply_reply"]),
      parentHeader: Frame(["msg_id": .string(id.text)]), metadata: Frame(metadata),
      content: Frame(.object(content)),
      buffers: buffers)
  }
}
