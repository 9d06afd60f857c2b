import ApusMessaging
import Testing
import Transport

@testable import ApusController

/// The states of a controller and its history on a bench, with clocks that are turned by hand: what happens there can be explained.
struct ExplanationBench {
  private(set) var state: TaskSchedulerState
  private(set) var history: EventHistory
  private var direct = DirectRequests()
  private var effects: Effects
  private(set) var now = ContinuousClock.now
  private(set) var ids: [EngineUUID: EngineID] = [:]

  private struct Effects: TaskSchedulerEffects {
    var history: EventHistory
    var time = Timestamp(microseconds: 1_800_000_000_000_000)

    mutating func send(_: Envelope, to _: EngineUUID, attempt _: Int?) {}
    mutating func relay(_: Envelope, to _: Envelope) {}
    mutating func note(_: JournalOutcome, of _: MessageID) {}
    mutating func noteStockClient(_: Frame, of _: MessageID) {}
    mutating func noteUnwanted(_: MessageID) {}

    mutating func fail(_ request: Envelope, with failure: TaskFailure) -> Envelope {
      let content: JSONValue = failure.error?.content ?? ["status": "aborted"]
      return Envelope(
        signature: .empty, header: .emptyObject, parentHeader: request.headerFrame, metadata: .emptyObject, content: Frame(content))
    }

    mutating func report(_ task: MessageID, _ kind: TaskEvent.Kind) { history.note(TaskEvent(task, .task, at: time, kind)) }
  }

  init(hwm: Int = 1, engines: Int = 0, limit: Int = 1 << 20) {
    state = TaskSchedulerState(highWaterMark: hwm, seed: 1)
    history = EventHistory(limit: limit)
    effects = Effects(history: history)
    for number in (0..<engines).reversed() { register(number) }
  }

  static func engine(_ number: Int) -> EngineUUID { EngineUUID("e\(number)") }
  var time: Timestamp { effects.time }

  // MARK: events

  mutating func advance(_ duration: Duration) {
    now += duration
    effects.time = Timestamp(microseconds: effects.time.microseconds + Int(duration / .microseconds(1)))
    state.expire(now: now, effects: &effects)
  }

  mutating func register(_ number: Int, resources: [String: Double] = [:]) {
    let uuid = Self.engine(number)
    ids[uuid] = EngineID(number)
    effects.history.note(ClusterNotice(.engineJoined(uuid, EngineID(number)), at: time))
    state.engineRegistered(uuid, resources: resources, now: now, effects: &effects)
  }

  mutating func drain(_ number: Int) {
    effects.history.note(ClusterNotice(.engineDrains(Self.engine(number)), at: time))
    state.drain(Self.engine(number), now: now, effects: &effects)
  }

  mutating func lose(_ number: Int, _ cause: EngineLoss = .disconnected) {
    let uuid = Self.engine(number)
    ids[uuid] = nil
    effects.history.note(ClusterNotice(.engineLeft(uuid, EngineID(number), cause), at: time))
    state.engineLost(uuid, cause: cause, grace: .zero, now: now, effects: &effects)
    state.expire(now: now, effects: &effects)
    for id in direct.lost(uuid) {
      note(id, .mux, .lost(engine: uuid, cause: cause))
      note(id, .mux, .finished(reply: failed(id, "EngineError", cause.sentence), engine: uuid, outcome: .lost))
    }
  }

  mutating func submit(
    _ id: String, label: String? = nil, after: Dependency = .none, follow: Dependency = .none, retries: Int = 0,
    timeout: Duration? = nil, targets: [Int] = [], more: JSONObject = [:]
  ) {
    var metadata = JSONObject()
    if let label { metadata["label"] = .string(label) }
    if !after.isEmpty { metadata["after"] = after.json }
    if !follow.isEmpty { metadata["follow"] = follow.json }
    if retries > 0 { metadata["retries"] = .int(retries) }
    if let timeout { metadata["timeout"] = .double(timeout / .seconds(1)) }
    if !targets.isEmpty { metadata["targets"] = JSONValue(targets.map { Self.engine($0).text }) }
    for (name, value) in more.members { metadata[name] = value }
    let message = Messages.request(MessageID(id), metadata: .object(metadata))
    do throws(RemoteError) {
      state.submit(try TaskRequest(message, id: MessageID(id)), now: now, effects: &effects)
    } catch { state.refuse(message, id: MessageID(id), error, effects: &effects) }
  }

  mutating func refuse(_ id: String, _ reason: String) {
    state.refuse(
      Messages.request(MessageID(id)), id: MessageID(id), RemoteError(name: "ValueError", value: reason), effects: &effects)
  }

  /// - Parameter error: of a task that failed.
  mutating func complete(_ id: String, on engine: Int, error: String? = nil, declines: Bool = false, ran: Duration? = nil) {
    let uuid = Self.engine(engine)
    var reply = error == nil ? Messages.reply(to: MessageID(id), from: uuid.text) : failed(MessageID(id), "ValueError", error ?? "")
    if let ran {
      let began = Timestamp(microseconds: time.microseconds - Int(ran / .microseconds(1)))
      reply = Envelope(
        identities: Array(reply.identities), signature: .empty, header: Frame(["date": .string(time.description)]),
        parentHeader: reply.parentHeaderFrame, metadata: Frame(["started": .string(began.description), "status": "ok"]),
        content: reply.contentFrame)
    }
    state.completed(
      TaskReply(
        id: MessageID(id), message: reply, status: error == nil && !declines ? .ok : .error, dependenciesMet: !declines), by: uuid,
      now: now, effects: &effects)
  }

  mutating func abort(_ id: String, by client: String = "client") {
    note(MessageID(id), .mux, .abortRequested(by: SessionID(client)))
    state.abort([MessageID(id)], now: now, effects: &effects)
  }

  mutating func sendDirect(_ id: String, to engine: Int, label: String? = nil) {
    let request = Messages.request(MessageID(id), metadata: label.map { ["label": .string($0)] } ?? [:])
    _ = direct.submitted(MessageID(id), to: Self.engine(engine))
    note(MessageID(id), .mux, .submitted(request: request, engine: Self.engine(engine)))
  }

  mutating func answerDirect(_ id: String, from engine: Int) {
    _ = direct.answered(MessageID(id), by: Self.engine(engine))
    note(MessageID(id), .mux, .finished(reply: Messages.reply(to: MessageID(id)), engine: Self.engine(engine), outcome: .ok))
  }

  mutating func note(_ id: MessageID, _ queue: TaskQueue?, _ kind: TaskEvent.Kind) {
    effects.history.note(TaskEvent(id, queue, at: time, kind))
  }

  mutating func restore(_ tasks: [RestatedTask], engines: [Int]) {
    state.restore(
      Restorer.Restored(tasks: tasks, outcomes: [], results: []), engines: engines.map(Self.engine), JournalConfiguration(),
      now: now, wall: .now(), effects: &effects)
    for task in tasks { note(task.id, .task, .restored) }
  }

  private func failed(_ id: MessageID, _ name: String, _ value: String) -> Envelope {
    Envelope(
      signature: .empty, header: .emptyObject, parentHeader: Frame(["msg_id": .string(id.text)]), metadata: ["status": "error"],
      content: RemoteError(name: name, value: value).content)
  }

  // MARK: questions

  func explain(_ id: String, record: TaskReasoning.Record? = nil) -> Explanation {
    let id = MessageID(id)
    var reasoning = TaskReasoning(id, state.situation(of: id, now: now), ids: ids, effects.history, now: time)
    reasoning.record = record
    return reasoning.explanation()
  }

  func explain(engine number: Int, heartbeat: Duration? = nil) -> Explanation {
    let uuid = Self.engine(number)
    let here = ids[uuid].map {
      EngineReasoning.Here(id: $0, uuid: uuid, kind: "python", isOwn: true, completed: 0, heartbeat: heartbeat)
    }
    return EngineReasoning(.id(EngineID(number)), here, effects.history, now: time).explanation()
  }
}

extension Envelope {
  fileprivate init(
    signature: Frame, header: Frame, parentHeader: Frame, metadata: JSONValue, content: JSONValue
  ) {
    self.init(
      signature: signature, header: header, parentHeader: parentHeader, metadata: Frame(metadata), content: Frame(content))
  }
}

extension Explanation {
  var codes: [String] { reasons.map(\.code) }
  func reason(_ code: String) -> Reason? { reasons.first { $0.code == code } }
}
