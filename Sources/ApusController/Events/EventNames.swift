import ApusMessaging
import Transport

/// The names of engines and clients, once for all events that are about them; and what many requests have alike.
struct EventNames {
  final class Engine: Sendable {
    let uuid: EngineUUID
    /// `nil` for one that never registered with this controller.
    let id: EngineID?
    init(_ uuid: EngineUUID, _ id: EngineID?) {
      self.uuid = uuid
      self.id = id
    }
  }

  final class Client: Sendable {
    let text: String
    init(_ text: String) { self.text = text }
  }

  /// Engines that are registered, by which events are told as having an id.
  private var here: [EngineUUID: Engine] = [:]
  private var others: [EngineUUID: Engine] = [:]
  private var clients: [String: Client] = [:]
  private var lastEngine: Engine?
  private var lastClient: Client?
  private var lastRequest: (metadata: Frame, detail: EventHistory.Detail?)?

  /// Beyond so many a table begins anew: who was named before is named a second time.
  private static let most = 16_384
  /// Metadata beyond this is not kept to be compared with the next.
  private static let longestMetadata = 1 << 14

  mutating func engine(_ uuid: EngineUUID) -> Engine {
    if let last = lastEngine, last.uuid == uuid { return last }
    let found = here[uuid] ?? others[uuid] ?? addOther(Engine(uuid, nil))
    lastEngine = found
    return found
  }

  func id(of uuid: EngineUUID) -> EngineID? { (here[uuid] ?? others[uuid])?.id }

  mutating func joined(_ uuid: EngineUUID, _ id: EngineID) -> Engine {
    if let known = here[uuid], known.id == id { return known }
    lastEngine = nil
    others[uuid] = nil
    let engine = Engine(uuid, id)
    here[uuid] = engine
    return engine
  }

  mutating func left(_ uuid: EngineUUID, _ id: EngineID) -> Engine {
    lastEngine = nil
    return addOther(here.removeValue(forKey: uuid) ?? Engine(uuid, id))
  }

  private mutating func addOther(_ engine: Engine) -> Engine {
    if others.count >= Self.most { others = [:] }
    others[engine.uuid] = engine
    return engine
  }

  /// Who made a request: the client's session, by which its ids begin; its identity, where the header has none.
  mutating func client(of request: Envelope) -> Client? {
    let known: Client?? = request.headerFrame.withUnsafeBytes { header in
      guard let text = header.text(of: "\"session\"") else { return .none }
      if let last = lastClient, last.text.utf8.count == text.count, last.text.utf8.elementsEqual(text) { return .some(last) }
      return .some(client(named: String(decoding: text.prefix(EventHistory.longestText), as: UTF8.self)))
    }
    if let known { return known }
    return request.identities.first.map { client(named: Self.text(of: $0)) }
  }

  mutating func client(named text: String) -> Client {
    let name: Client
    if let known = clients[text] {
      name = known
    } else {
      if clients.count >= Self.most { clients = [:] }
      name = Client(text)
      clients[text] = name
    }
    lastClient = name
    return name
  }

  /// An identity is text where a client chose it, and bytes where libzmq did.
  static func text(of identity: Frame) -> String {
    let text = String(decoding: identity.bytes, as: UTF8.self)
    let isPlain = !text.isEmpty && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0 != "\u{FFFD}" }
    return isPlain ? text : identity.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }

  /// What a request is called, and its kind where it is no call. The tasks of one map have the same metadata, which is read once for all.
  mutating func detail(of request: Envelope) -> EventHistory.Detail? {
    let metadata = request.metadataFrame
    guard Self.isCall(request.headerFrame) else {
      let kind = request.messageType.map { Self.short($0.text) }
      return EventHistory.Detail(label: Self.label(of: metadata), text: kind)
    }
    if metadata.isIdentical(to: .emptyObject) { return nil }
    if let last = lastRequest, last.metadata == metadata { return last.detail }
    let detail = Self.label(of: metadata).map { EventHistory.Detail(label: $0) }
    if metadata.count <= Self.longestMetadata { lastRequest = (metadata.withUnsafeBytes { Frame($0) }, detail) }
    return detail
  }

  private static func label(of metadata: Frame) -> String? { Envelope.string("label", of: metadata).map(short) }

  /// Of a text from elsewhere the beginning. Counted in bytes: a single character may be long.
  static func short(_ text: String) -> String {
    guard text.utf8.count > EventHistory.longestText else { return text }
    return String(decoding: text.utf8.prefix(EventHistory.longestText), as: UTF8.self) + "…"
  }

  /// Without reading the header, of which there is one for each task.
  private static func isCall(_ header: Frame) -> Bool {
    header.withUnsafeBytes { $0.firstIndex(ofWord: "\"apply_request\"") != nil }
  }
}
