import ApusMessaging
import Testing
import Transport

@testable import ApusClient

/// Writes down what the client's state wants done, in words.
struct ClientRecorder: ClientEffects {
  private(set) var lines: [String] = []
  private(set) var ends: [TaskNumber: Int] = [:]

  private(set) var sent: [Int: Request] = [:]
  /// What failures over there, and of engines, say.
  private(set) var reasons: [TaskNumber: String] = [:]
  /// As a listener knows them, who is told what changes.
  private(set) var awaited: [RegisteredEngine] = []
  /// How many were named to it for that.
  private(set) var awaitedTold = 0

  mutating func send(_ request: Request) {
    sent[request.number.raw] = request
    lines.append("send \(request.number.raw)")
  }

  mutating func abort(_ tasks: [MessageID], on engines: [RegisteredEngine], _ cancellation: Cancellation) {
    let numbers = tasks.map { $0.text.split(separator: "_", maxSplits: 2).last.map(String.init) ?? "?" }
    lines.append(
      "\(cancellation.interrupts ? "abort" : "take back") \(numbers.joined(separator: ",")) on \(engines.map(\.description).joined(separator: ","))"
    )
  }

  mutating func resume(_ tasks: [TaskNumber]) -> TaskNumber {
    lines.append("resume \(tasks.map { String($0.raw) }.joined(separator: ","))")
    return Self.resumption
  }
  static let resumption = TaskNumber(raw: 1 << 40)

  mutating func finish(_ handle: TaskHandle, _ ending: TaskEnding) {
    ends[handle.number, default: 0] += 1
    switch ending.outcome {
    case .success: lines.append("\(handle.number.raw): ok")
    case .failure(let error as RemoteError):
      lines.append("\(handle.number.raw): \(error.name)")
      reasons[handle.number] = error.value
    case .failure(let error as ClientError): lines.append("\(handle.number.raw): \(error.code)")
    case .failure(let error): lines.append("\(handle.number.raw): \(error)")
    }
  }

  mutating func finishOutput(of handle: TaskHandle) { lines.append("\(handle.number.raw): silent") }
  mutating func refuse(with error: ClientError) { lines.append("refuse: \(error.code)") }
  mutating func announce(_ event: EngineEvent) {
    switch event {
    case .arrived(let engine):
      lines.append("+\(engine)")
      awaited.removeAll { $0.uuid == engine.uuid }
    case .departed(let engine): lines.append("-\(engine)")
    }
  }
  mutating func awaits(_ engines: [RegisteredEngine]) {
    awaited = (awaited + engines).sorted()
    awaitedTold += engines.count
  }
  mutating func givesUp(_ engines: [RegisteredEngine]) {
    awaited.removeAll { engines.contains($0) }
    awaitedTold += engines.count
  }
  mutating func kindLearned(of engine: RegisteredEngine) { lines.append("\(engine) is \(engine.kind)") }
  mutating func askForEngines(asOf serial: Int) { lines.append("ask \(serial)") }

  /// The effects since the last look, all of them.
  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(lines == expected, sourceLocation: location)
    lines = []
  }

  mutating func forget() { lines = [] }
}

/// A state, its recorder and the requests that a test makes.
struct ClientBench {
  var state = ClientState(outputGrace: .seconds(2), controllerGrace: .seconds(5))
  var effects = ClientRecorder()
  let queue = SubmissionQueue(
    ids: RequestIDs(session: SessionID("s"), processID: 1), limit: InFlightLimit(), loop: EventLoop(name: "idle"))
  let start = ContinuousClock.now

  func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }
  func engine(_ number: Int) -> RegisteredEngine { RegisteredEngine(id: EngineID(number), uuid: EngineUUID("e\(number)")) }

  mutating func step(_ event: (inout ClientState, inout ClientRecorder) -> Void, at location: SourceLocation = #_sourceLocation) {
    event(&state, &effects)
    #expect(state.checkInvariants() == [], sourceLocation: location)
    #expect(effects.awaited == state.absent.values.sorted(), sourceLocation: location)
  }

  mutating func arrive(_ numbers: Int...) {
    for number in numbers { step { [engine = engine(number)] in $0.engineRegistered(engine, effects: &$1) } }
    effects.forget()
  }

  @discardableResult
  mutating func submit(
    _ route: Request.Route, awaitsOutput: Bool = false, deadline: Double? = nil, maySendAgain: Bool = true,
    after: [TaskNumber] = [], follow: [TaskNumber] = []
  ) -> TaskNumber {
    var metadata: JSONObject = [:]
    if !after.isEmpty { metadata["after"] = .array(after.map { .string(queue.ids.id(of: $0).text) }) }
    if !follow.isEmpty { metadata["follow"] = Dependency(Set(follow.map { queue.ids.id(of: $0) })).json }
    let number = queue.ids.next()
    var handles = [TaskHandle(number, cost: 1, engine: nil, label: nil, queue: queue)]
    if case .broadcast(let engines) = route {
      handles = engines.map { TaskHandle(queue.ids.next(), shareOf: number, cost: 1, engine: $0, label: nil, queue: queue) }
    }
    var request = Request(
      number: number, route: route, type: .applyRequest, content: .emptyObject, metadata: Frame(.object(metadata)),
      handles: handles,
      awaitsOutput: awaitsOutput, deadline: deadline.map { at($0) }, cost: handles.count)
    request.maySendAgain = maySendAgain
    step { [request] in $0.submit(request, effects: &$1) }
    return number
  }

  mutating func reply(
    _ number: TaskNumber, from engine: Int? = 0, share: Int? = nil, status: String = "ok", outputs: Int = 0, at seconds: Double = 0
  ) {
    var metadata: JSONObject = ["status": .string(status)]
    if let engine { metadata["engine"] = .string("e\(engine)") }
    if outputs > 0 { metadata["output"] = .int(outputs) }
    var content: JSONObject = ["status": .string(status)]
    if status == "error" { content = RemoteError(name: "ValueError", value: "no").content.objectValue ?? [:] }
    let message = Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: Frame(.object(metadata)),
      content: Frame(.object(content)))
    let match = RequestIDs.Match(number: number, engine: share.map { EngineUUID("e\($0)") })
    step { [now = at(seconds)] in $0.replied(to: match, TaskReply(message), now: now, effects: &$1) }
  }

  /// A restarted controller answers the question for the tasks of before.
  mutating func resumed(unknown numbers: Int...) {
    let ids = numbers.map { JSONValue.string(queue.ids.id(of: TaskNumber(raw: $0)).text) }
    let message = Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject,
      content: Frame(["status": "ok", "unknown": .array(ids)]))
    let match = RequestIDs.Match(number: ClientRecorder.resumption, engine: nil)
    step { [now = start] in $0.replied(to: match, TaskReply(message), now: now, effects: &$1) }
  }

  mutating func print(_ number: TaskNumber, share: Int? = nil) {
    step { $0.printed(RequestIDs.Match(number: number, engine: share.map { EngineUUID("e\($0)") }), effects: &$1) }
  }

  mutating func idle(_ number: TaskNumber, share: Int? = nil) {
    step { $0.isIdle(RequestIDs.Match(number: number, engine: share.map { EngineUUID("e\($0)") }), effects: &$1) }
  }

  mutating func lose(_ number: Int) { step { $0.engineLost(EngineUUID("e\(number)"), effects: &$1) } }
  mutating func expire(at seconds: Double) { step { [now = at(seconds)] in $0.expire(now: now, effects: &$1) } }
  mutating func abort(_ numbers: TaskNumber...) { step { $0.abort(numbers, effects: &$1) } }
}
