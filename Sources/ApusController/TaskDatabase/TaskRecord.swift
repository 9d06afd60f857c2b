public import ApusMessaging
public import Transport

/// What the hub remembers of one task. The messages stay as they came; the fields that people query are read from them when asked for.
///
/// A class, and not `Sendable`: records live and change in place where their database lives, a million of them at little cost.
public final class TaskRecord {
  public let id: MessageID
  /// As it came, sharing its frames with the scheduler; identities mean nothing here. `nil` while only output of the task has been seen.
  ///
  /// Of a task of the controller before that has not ended it is made anew each time that it is asked for.
  public var request: Envelope? {
    get { message ?? stored?.message }
    set { change { message = newValue } }
  }
  private var message: Envelope?
  /// What the journal has of it, where there is no message yet. Counted as the database's.
  private(set) var stored: StoredRequest?
  public var engine: EngineUUID?
  public var reply: Envelope? {
    didSet {
      frameBytes += (reply?.byteCount ?? 0) - (oldValue?.byteCount ?? 0)
      marks.remove(.replyWritten)
    }
  }
  /// The task that replaced this one.
  public var resubmitted: MessageID?
  public var output: Output?
  /// When the controller got the reply.
  public var received: Timestamp?
  public var queue: TaskQueue?

  // What the database that keeps this record notes on it; of no meaning to anybody else.
  var marks = Marks()
  /// The place in the order of arrival.
  var number = 0
  /// Bytes that are in the database's sum already.
  var countedBytes = 0
  private var frameBytes = 0
  /// `submitted` once it has been read; `Int.min` before, and `Int.max` if there is none.
  private var knownSubmission = Int.min

  var hasRequest: Bool { message != nil || stored != nil }
  var hasMessage: Bool { message != nil }
  var header: Frame? { message?.headerFrame ?? stored?.header }
  var metadata: Frame? { message?.metadataFrame ?? stored?.metadata }
  var content: Frame? { message?.contentFrame ?? stored?.content }
  private var requestBytes: Int { message?.byteCount ?? stored?.byteCount ?? 0 }

  /// Bytes that this record keeps alive: frames and output.
  public var byteCount: Int { frameBytes + (output?.byteCount ?? 0) }

  public init(_ id: MessageID) { self.id = id }

  public var isFinished: Bool { reply != nil }
  /// Whether the record may make room for others: an unfinished task never does.
  var isDroppable: Bool { reply != nil || !hasRequest }

  /// The request, of a restored task: a million of them would take seconds to be made messages, and three times the memory.
  func take(_ kept: KeptRequest) {
    guard let taken = kept.stored, stored == nil else { return request = kept.message }
    change {
      message = nil
      stored = taken
    }
    taken.keep(by: .database)
  }

  /// The request is a message from now on.
  /// - Returns: as of `StoredRequest.letGo`.
  func open() -> Int {
    guard let stored else { return 0 }
    if message == nil { message = stored.message }
    self.stored = nil
    return stored.letGo(by: .database)
  }

  private func change(_ body: () -> Void) {
    frameBytes -= requestBytes
    body()
    frameBytes += requestBytes
    marks.remove(.requestWritten)
    knownSubmission = Int.min
  }

  /// The date of the request, by the client's clock.
  public var submitted: Timestamp? {
    if knownSubmission == Int.min { knownSubmission = readSubmission()?.microseconds ?? Int.max }
    return knownSubmission == Int.max ? nil : Timestamp(microseconds: knownSubmission)
  }

  private func readSubmission() -> Timestamp? {
    guard let frame = header else { return nil }
    let date = frame.withUnsafeBytes { HeaderScanner($0).string("date") } ?? json(frame)["date"]?.stringValue
    return date.flatMap { Timestamp($0) }
  }

  /// Field names of ipyparallel's records, in the order of its SQLite columns (protocol section 11.1).
  public enum Field: String, CaseIterable, Sendable {
    case msg_id, header, metadata, content, buffers, submitted, client_uuid, engine_uuid, started, completed, resubmitted, received,
      result_header, result_metadata, result_content, result_buffers, queue, execute_input, execute_result, error, stdout, stderr,
      label
  }

  /// A field as JSON; dates as ISO 8601. Buffers never are JSON: both buffer fields are null.
  public func value(_ field: Field) -> JSONValue {
    switch field {
    case .msg_id: .string(id.text)
    case .header: json(header)
    case .metadata: json(metadata)
    case .content: json(content)
    case .buffers, .result_buffers: .null
    case .submitted: json(header)["date"] ?? .null
    case .client_uuid: JSONValue(request?.sessionID?.text)
    case .engine_uuid: JSONValue(engine?.text)
    case .started: json(reply?.metadataFrame)["started"] ?? .null
    case .completed: json(reply?.headerFrame)["date"] ?? .null
    case .resubmitted: JSONValue(resubmitted?.text)
    case .received: JSONValue(received?.description)
    case .result_header: json(reply?.headerFrame)
    case .result_metadata: json(reply?.metadataFrame)
    case .result_content: json(reply?.contentFrame)
    case .queue: JSONValue(queue?.rawValue)
    case .execute_input: JSONValue(output?.executeInput)
    case .execute_result: output?.executeResult ?? .null
    case .error: output?.error ?? .null
    case .stdout: .string(output?.stdout ?? "")
    case .stderr: .string(output?.stderr ?? "")
    case .label: json(metadata)["label"] ?? .null
    }
  }

  public var requestBuffers: ArraySlice<Frame> { message?.buffers ?? stored?.buffers[...] ?? [] }
  var requestBufferCount: Int { message?.buffers.count ?? stored?.bufferCount ?? 0 }
  public var replyBuffers: ArraySlice<Frame> { reply?.buffers ?? [] }

  private func json(_ frame: Frame?) -> JSONValue { frame.flatMap { try? $0.json() } ?? .null }
}
