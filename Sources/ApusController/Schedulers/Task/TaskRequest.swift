import ApusMessaging
import Transport

/// A load-balanced request as the scheduler reads it: its id, and what its metadata asks for (protocol section 7.1).
struct TaskRequest: Sendable {
  var id: MessageID
  /// With the client's identities.
  var kept: KeptRequest
  var retries = 0
  var after = Dependency.none
  var follow = Dependency.none
  /// The longest stay in the queue; `nil` is for ever.
  var timeout: Duration?
  /// Engines that may run it; empty is any.
  var targets: [EngineUUID] = []
  var preferences: TaskPreferences?

  init(id: MessageID, message: Envelope) { self.init(id: id, .message(message)) }

  init(id: MessageID, _ kept: KeptRequest) {
    self.id = id
    self.kept = kept
  }

  /// As of `KeptRequest`.
  var message: Envelope { kept.message }

  /// - Throws: a `ValueError` for the client if the metadata asks for something that is not one.
  init(_ message: Envelope, id: MessageID) throws(RemoteError) {
    self.init(id: id, message: message)
    if !message.metadataFrame.isIdentical(to: .emptyObject) { try read(message) }
  }

  /// The same of what is kept.
  init(_ request: KeptRequest, id: MessageID) throws(RemoteError) {
    switch request {
    case .message(let message): try self.init(message, id: id)
    case .stored(let stored), .rerouted(let stored, _):
      // Nothing else of it is looked at.
      let message = Envelope(
        signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: stored.metadata, content: .emptyObject)
      try self.init(message, id: id)
      kept = request
    }
  }

  /// Whether it asks for nothing beyond being run.
  var isPlain: Bool {
    retries == 0 && timeout == nil && after.isEmpty && follow.isEmpty && targets.isEmpty && preferences == nil
  }

  private mutating func read(_ message: Envelope) throws(RemoteError) {
    let metadata: JSONObject
    do { metadata = try message.metadata() } catch { throw RemoteError(name: "ValueError", value: "\(error)") }
    guard let after = Dependency(metadata["after"]), let follow = Dependency(metadata["follow"]) else {
      throw RemoteError(
        name: "ValueError",
        value:
          "a dependency is a list of message ids, or an object of \"dependencies\", \"all\", \"success\" and \"failure\" with one of the last two true"
      )
    }
    self.after = after
    self.follow = follow
    if let retries = metadata["retries"], !retries.isNull {
      guard let count = retries.intValue, count >= 0 else {
        throw RemoteError(name: "ValueError", value: "retries is a number from 0 on")
      }
      self.retries = count
    }
    if let timeout = metadata["timeout"], !timeout.isNull {
      guard let seconds = timeout.doubleValue, seconds >= 0 else {
        throw RemoteError(name: "ValueError", value: "timeout is a number of seconds from 0 on, 0 for none")
      }
      // Centuries are "never", and larger numbers do not fit a clock.
      if seconds > 0, seconds < 1e10 { self.timeout = .seconds(seconds) }
    }
    if let targets = metadata["targets"], targets.isTruthy {
      guard let uuids = targets.stringArrayValue else {
        throw RemoteError(name: "ValueError", value: "targets is a list of engine uuids")
      }
      self.targets = uuids.map { EngineUUID($0) }
    }
    preferences = try TaskPreferences.read(metadata)
  }
}

/// Reads requests. The tasks of one map carry the same metadata, byte for byte, and come from the same client: it is decoded once for all of
/// them, and a million of them share its frame.
struct TaskRequestReader {
  private var last: TaskRequest?
  /// Asked for each of a million, which are not to copy it.
  private var isLastPlain = false
  /// Its metadata.
  private var metadata = Frame.empty
  private var client: Frame?
  /// The one before, of a journal.
  private var stored: StoredRequest?

  private mutating func shareClient(of message: inout Envelope) {
    if let client, client == message.frames[0] { message.share(client, at: 0) } else { client = message.frames[0] }
  }

  mutating func read(_ message: inout Envelope, id: MessageID) throws(RemoteError) -> TaskRequest {
    shareClient(of: &message)
    if var request = last, metadata == message.metadataFrame {
      message.share(metadata, at: message.delimiter + 4)
      request.id = id
      request.kept = .message(message)
      return request
    }
    return try note(TaskRequest(message, id: id), message.metadataFrame)
  }

  private mutating func note(_ request: TaskRequest, _ metadata: Frame) -> TaskRequest {
    // Only what the metadata says is of use: the buffers may be large and must not live on here.
    last = request
    last?.kept = .released
    isLastPlain = request.isPlain
    self.metadata = metadata
    stored = nil
    return request
  }

  // MARK: journals

  /// Whether a request asks for the same as the one before it, and that is nothing beyond being run.
  mutating func isPlain(_ request: inout KeptRequest) -> Bool {
    guard isLastPlain else { return false }
    switch request {
    case .message(var message):
      guard metadata == message.metadataFrame else { return false }
      shareClient(of: &message)
      message.share(metadata, at: message.delimiter + 4)
      request = .message(message)
      return true
    case .stored(let stored), .rerouted(let stored, _): return hasSameMetadata(stored)
    }
  }

  private mutating func hasSameMetadata(_ request: StoredRequest) -> Bool {
    if stored?.sharesMetadata(with: request) ?? false { return true }
    guard last != nil, request.hasMetadata(metadata) else { return false }
    // What is equal may be in another place: those that follow have theirs there.
    stored = request
    return true
  }

  mutating func read(_ request: inout KeptRequest, id: MessageID) throws(RemoteError) -> TaskRequest {
    switch request {
    case .message(var message):
      let read = try read(&message, id: id)
      request = .message(message)
      return read
    case .stored(let stored), .rerouted(let stored, _):
      if var same = last, hasSameMetadata(stored) {
        same.id = id
        same.kept = request
        return same
      }
      let read = try note(TaskRequest(request, id: id), stored.metadata)
      // Not where it was refused: the next would get what the one before that asks for.
      self.stored = stored
      return read
    }
  }
}

/// What an engine's reply says to the scheduler.
struct TaskReply: Sendable {
  typealias Status = ReplyStatus

  var id: MessageID
  var message: Envelope
  var status: Status
  /// False: the engine refused because a functional dependency was not met there.
  var dependenciesMet: Bool
  /// With unmet dependencies: the engine does not know such tasks at all. The client gets this answer if every engine gives it.
  var isRefusal: Bool
  /// Of a failure: which try failed, where its engine says so.
  var attempt: Int?
  /// Not a failure, nor a refusal.
  var isResult: Bool { status == .ok && dependenciesMet }

  init(
    id: MessageID, message: Envelope, status: Status, dependenciesMet: Bool = true, isRefusal: Bool = false, attempt: Int? = nil
  ) {
    self.id = id
    self.message = message
    self.status = status
    self.dependenciesMet = dependenciesMet
    self.isRefusal = isRefusal
    self.attempt = attempt
  }

  init?(_ message: Envelope) {
    guard let id = message.parentID else { return nil }
    var met = message.metadataFrame.withUnsafeBytes { HeaderScanner($0).bool("dependencies_met") }
    let status = message.replyStatus
    if met == nil, status != .ok, !message.metadataFrame.isIdentical(to: .emptyObject), let metadata = try? message.metadata() {
      // Not there, or written in a way that the scanner does not read.
      met = metadata["dependencies_met"].map(\.isTruthy)
    }
    let isRefusal = met == false && message.metadataFrame.withUnsafeBytes { HeaderScanner($0).bool("refused") } == true
    self.init(id: id, message: message, status: status, dependenciesMet: met ?? true, isRefusal: isRefusal)
    if status != .ok || met == false, message.metadataFrame.withUnsafeBytes({ HeaderScanner($0).has("attempt") }) {
      attempt = (try? message.metadata())?["attempt"]?.intValue
    }
  }
}
