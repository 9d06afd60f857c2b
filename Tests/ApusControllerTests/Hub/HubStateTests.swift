import ApusMessaging
import Testing

@testable import ApusController

struct HubRecorder: HubEffects {
  var messages: [String] = []
  /// What is known of the engine that was accepted or joined last.
  var traits = EngineTraits()
  mutating func engineJoined(_ uuid: EngineUUID, id: EngineID, traits: EngineTraits) {
    messages.append("\(uuid) joined as \(id)")
    self.traits = traits
  }
  mutating func engineLeft(_ uuid: EngineUUID, id: EngineID, arrival: Int, cause: EngineLoss, grace: Duration) {
    messages.append("\(uuid) left \(id): \(cause)")
  }
  mutating func engineDrains(_ uuid: EngineUUID) { messages.append("\(uuid) drains") }
  mutating func retire(_ uuid: EngineUUID) { messages.append("\(uuid) retires") }
}

struct HubBench {
  var state = HubState(registrationTimeout: .seconds(30))
  var recorder = HubRecorder()
  var now = ContinuousClock.now

  private func verify(_ location: SourceLocation) { #expect(state.checkInvariants() == [], sourceLocation: location) }

  /// - Returns: the error's name.
  @discardableResult
  mutating func request(
    _ uuid: EngineUUID, wanted: Int? = nil, connection: Int32? = nil, resumes: Bool = false, kind: EngineKind = .python,
    takesBatches: Bool = false, wasCutOff: Bool = false, at location: SourceLocation = #_sourceLocation
  ) -> String? {
    defer { verify(location) }
    do throws(RemoteError) {
      let id = try state.registrationRequested(
        uuid, wanted: wanted.map { EngineID($0) }, connection: connection, resumes: resumes, wasCutOff: wasCutOff,
        traits: EngineTraits(kind: kind, takesBatches: takesBatches), now: now, effects: &recorder)
      recorder.messages.append("accept \(uuid) as \(id)")
      recorder.traits = state.pending[uuid]?.traits ?? state.engines[id]?.traits ?? EngineTraits()
      return nil
    } catch { return error.name }
  }

  mutating func beats(_ uuid: EngineUUID, at location: SourceLocation = #_sourceLocation) {
    state.heartStarted(uuid, effects: &recorder)
    verify(location)
  }

  mutating func stops(_ uuid: EngineUUID, at location: SourceLocation = #_sourceLocation) {
    state.heartStopped(uuid, effects: &recorder)
    verify(location)
  }

  mutating func disconnects(_ connection: Int32, at location: SourceLocation = #_sourceLocation) {
    state.disconnected(connection, effects: &recorder)
    verify(location)
  }

  mutating func unregisters(_ id: Int, at location: SourceLocation = #_sourceLocation) {
    state.unregistrationRequested(EngineID(id), effects: &recorder)
    verify(location)
  }

  mutating func shutsDown(_ uuid: EngineUUID, at location: SourceLocation = #_sourceLocation) {
    state.shutDown(uuid, effects: &recorder)
    verify(location)
  }

  mutating func join(_ uuid: EngineUUID, connection: Int32? = nil) {
    request(uuid, connection: connection)
    beats(uuid)
  }

  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(recorder.messages == expected, sourceLocation: location)
    recorder.messages = []
  }

  mutating func observe(_ events: TaskEvent..., at location: SourceLocation = #_sourceLocation) {
    for event in events { state.observe(event) }
    verify(location)
  }
}

@Suite("Hub: engines")
struct HubEngineTests {
  @Test("an engine is accepted, and joins when its heart beats")
  func joining() {
    var bench = HubBench()
    bench.request("a")
    bench.expect("accept a as 0")
    #expect(bench.state.engines.isEmpty)
    bench.beats("a")
    bench.expect("a joined as 0")
    bench.beats("a")
    bench.beats("stranger")
    bench.expect()
    #expect(bench.state.ids == ["a": EngineID(0)])
  }

  @Test("an engine that was cut off is lost with what it had, and comes back as itself when its heart beats")
  func cutOff() {
    var bench = HubBench()
    bench.join("a", connection: 4)
    bench.join("b", connection: 5)
    bench.recorder.messages = []
    bench.request("a", connection: 4, resumes: true, wasCutOff: true)
    bench.expect("a left 0: disconnected", "accept a as 0")
    #expect(bench.state.ids == ["b": EngineID(1)])
    bench.request("a", connection: 4, resumes: true, wasCutOff: true)
    bench.expect("accept a as 0")
    bench.beats("a")
    bench.expect("a joined as 0")
    // Whoever does not say that it had been here is refused, and takes nobody's place.
    #expect(bench.request("b", connection: 9, wasCutOff: true) == "KeyError")
    bench.expect()
  }

  @Test("that an engine takes batches is kept while it is away, and not changed by a registration that is refused")
  func batches() {
    var bench = HubBench()
    bench.request("a", connection: 4, takesBatches: true)
    #expect(bench.recorder.traits.takesBatches)
    var refusal = bench.request("a", takesBatches: false)
    #expect(refusal == "KeyError", "about to join")
    bench.beats("a")
    #expect(bench.recorder.traits.takesBatches)
    refusal = bench.request("a", takesBatches: false)
    #expect(refusal == "KeyError", "joined")
    bench.stops("a")
    bench.recorder.traits = EngineTraits()
    bench.beats("a")
    #expect(bench.recorder.traits.takesBatches)
    bench.request("a", resumes: true, takesBatches: false)
    #expect(!bench.recorder.traits.takesBatches)
    bench.request("stock")
    #expect(bench.recorder.traits == EngineTraits())
  }

  /// What it had is not known until it has said so, whatever happens to its connections before.
  @Test("that an engine was another controller's is known of it from then on")
  func engineOfBefore() {
    var bench = HubBench()
    // From the file, from nowhere, and this one's own.
    bench.state.restore([EngineID(0): "former"], own: [EngineID(0)], nextID: 1)
    for (index, uuid) in (["former", "unknown", "own"] as [EngineUUID]).enumerated() {
      let connection = Int32(4 + index)
      let isOfBefore = uuid != "own"
      bench.request(uuid, connection: connection, resumes: isOfBefore, takesBatches: true)
      #expect(bench.recorder.traits.isOfBefore == isOfBefore)
      if index == 1 {
        // It went before it had joined.
        bench.disconnects(connection)
        bench.request(uuid, connection: connection, resumes: true, takesBatches: true)
      }
      bench.beats(uuid)
      #expect(bench.recorder.traits.isOfBefore == isOfBefore)
      bench.request(uuid, connection: connection, resumes: true, takesBatches: true)
      bench.request(uuid, connection: connection, resumes: true, takesBatches: true, wasCutOff: true)
      bench.beats(uuid)
      #expect(bench.recorder.traits.isOfBefore == isOfBefore)
      bench.stops(uuid)
      bench.beats(uuid)
      #expect(bench.recorder.traits.isOfBefore == isOfBefore)
    }
  }

  /// A scheduler that waits for what it has would wait in vain for that of one that has never been anywhere else.
  @Test(
    "an engine whose heart beats too late is as much another controller's as it was when it first came", arguments: [false, true])
  func lateHeart(isOfBefore: Bool) {
    var bench = HubBench()
    bench.request("late", connection: 4, resumes: isOfBefore, takesBatches: true)
    bench.now += .seconds(31)
    #expect(bench.state.expire(now: bench.now) == ["late"])
    bench.beats("late")
    #expect(bench.state.engines.isEmpty)
    bench.request("late", connection: 4, resumes: true, takesBatches: true)
    bench.beats("late")
    #expect(bench.state.engines.count == 1)
    #expect(bench.recorder.traits.isOfBefore == isOfBefore)
  }

  @Test("an engine's kind is kept while it is away, and told where it is not Python")
  func kinds() {
    var bench = HubBench()
    bench.join("p")
    bench.request("s", connection: 4, kind: .swift)
    bench.beats("s")
    let told: JSONValue = ["1": "swift"]
    #expect(JSONValue.object(HubState.kinds(of: bench.state.sortedEngines)) == told)
    // Silent, and heard again without another registration.
    bench.stops("s")
    #expect(HubState.kinds(of: bench.state.sortedEngines).members.isEmpty)
    bench.beats("s")
    #expect(JSONValue.object(HubState.kinds(of: bench.state.sortedEngines)) == told)
    // Back before it was missed, as something else.
    bench.request("s", connection: 5, resumes: true, kind: EngineKind(rawValue: "other"))
    #expect(HubState.kinds(of: bench.state.sortedEngines)["1"] == "other")
    // From the file of an earlier controller.
    var restored = HubState(registrationTimeout: .seconds(1))
    restored.restore([EngineID(3): "a", EngineID(4): "b"], kinds: [EngineID(4): .swift], nextID: 5)
    restored.heartStarted("a", effects: &bench.recorder)
    restored.heartStarted("b", effects: &bench.recorder)
    #expect(JSONValue.object(HubState.kinds(of: restored.sortedEngines)) == ["4": "swift"])
  }

  /// Found by the simulation: the controller died again before all engines were back, and the next one had never heard of them.
  @Test("the file of engines has those of the controller before that may still come back, and no others")
  func formers() {
    var bench = HubBench()
    bench.state.restore(
      [EngineID(0): "a", EngineID(1): "b", EngineID(2): "c"], kinds: [EngineID(1): .swift], own: [EngineID(0), EngineID(1)],
      nextID: 7, until: bench.now + .seconds(30))
    bench.request("a", connection: 1, resumes: true, takesBatches: true)
    bench.beats("a")
    let all: JSONObject = ["engines": ["0": "a", "1": "b", "2": "c"], "next_id": 7, "kinds": ["1": "swift"], "own": [0, 1]]
    #expect(JSONValue.object(bench.state.fileContent) == .object(all))
    // One that asks for its place has none yet.
    bench.request("b", connection: 2, resumes: true, kind: .swift, takesBatches: true)
    #expect(JSONValue.object(bench.state.fileContent) == .object(all))
    #expect(bench.state.nextExpiry != nil)
    bench.beats("b")
    _ = bench.state.expire(now: bench.now + .seconds(31))
    let rest: JSONObject = ["engines": ["0": "a", "1": "b"], "next_id": 7, "kinds": ["1": "swift"], "own": [0, 1]]
    #expect(JSONValue.object(bench.state.fileContent) == .object(rest))
    #expect(bench.state.nextExpiry == nil)
    // Those that were lost since are nobody's.
    bench.stops("a")
    #expect(bench.state.enginesToRemember.map(\.uuid) == ["b"])
  }

  /// Found by the simulation: it was taken for an engine that does not say what it has, and its tasks were given up after half a minute.
  @Test("an own engine of the controller before may be heard before it registers: it has its place when it has")
  func ownEnginesRegister() {
    var bench = HubBench()
    bench.state.restore([EngineID(3): "own", EngineID(4): "stock"], own: [EngineID(3)], nextID: 5)
    bench.beats("own")
    bench.beats("stock")
    #expect(bench.state.ids == ["stock": EngineID(4)])
    bench.request("own", connection: 7, resumes: true)
    bench.beats("own")
    #expect(bench.state.ids == ["stock": EngineID(4), "own": EngineID(3)])
    // Once it has, its heart is enough.
    bench.stops("own")
    bench.beats("own")
    #expect(bench.state.ids["own"] == EngineID(3))
  }

  @Test("ids count up and are never used twice")
  func ids() {
    var bench = HubBench()
    for number in 0..<5 { bench.join(EngineUUID("e\(number)")) }
    for number in 0..<5 { bench.unregisters(number) }
    bench.join("f")
    #expect(bench.state.ids == ["f": EngineID(5)])
    // Pending ones are as good as given.
    bench.request("g")
    bench.request("h")
    bench.beats("h")
    #expect(bench.state.ids["h"] == EngineID(7))
    #expect(bench.state.pending["g"]?.id == EngineID(6))
  }

  @Test("a wanted id is granted if it is free; the count goes on above it")
  func wanted() {
    var bench = HubBench()
    bench.request("a", wanted: 5)
    bench.request("b", wanted: 5)
    bench.beats("a")
    bench.request("c", wanted: 5)
    bench.request("d", wanted: 2)
    bench.expect("accept a as 5", "accept b as 6", "a joined as 5", "accept c as 7", "accept d as 2")
  }

  @Test("ids that make no sense are not granted, and nothing overflows", arguments: [-1, Int.min, Int.max, Int.max - 1, 1 << 40])
  func absurdIDs(wanted: Int) {
    var bench = HubBench()
    bench.request("a", wanted: wanted)
    bench.request("b")
    bench.expect("accept a as 0", "accept b as 1")
    bench.unregisters(wanted)
    bench.state.restore([EngineID(wanted): "c"], nextID: wanted)
    bench.request("c")
    bench.request("d")
    #expect(bench.state.checkInvariants() == [])
    #expect(bench.state.pending.count == 4)
  }

  @Test("a uuid in use is refused, unless the engine resumes")
  func inUse() {
    var bench = HubBench()
    #expect(bench.request("a", connection: 3) == nil)
    #expect(bench.request("a", connection: 4) == "KeyError")
    bench.beats("a")
    #expect(bench.request("a", connection: 4) == "KeyError")
    bench.expect("accept a as 0", "a joined as 0")
    #expect(bench.request("a", connection: 5, resumes: true) == nil)
    bench.expect("accept a as 0")
    // The old connection's end means nothing any more, the new one's does.
    bench.disconnects(3)
    bench.expect()
    bench.disconnects(5)
    bench.expect("a left 0: disconnected")
  }

  @Test("an engine that resumes with a controller that does not know it is a new one")
  func resumesElsewhere() {
    var bench = HubBench()
    bench.request("a", wanted: 3, resumes: true)
    bench.beats("a")
    bench.expect("accept a as 3", "a joined as 3")
    bench.request("b", wanted: 3, resumes: true)
    bench.expect("accept b as 4")
    bench.request("b", connection: 9, resumes: true)
    bench.expect("accept b as 4")
  }

  @Test("accepted and never heard of: forgotten after the timeout")
  func expiry() {
    var bench = HubBench()
    #expect(bench.state.nextExpiry == nil)
    bench.request("a")
    bench.now += .seconds(10)
    bench.request("b")
    #expect(bench.state.nextExpiry == bench.now + .seconds(20))
    #expect(bench.state.expire(now: bench.now + .seconds(19)).isEmpty)
    #expect(bench.state.expire(now: bench.now + .seconds(20)) == ["a"])
    bench.beats("a")
    bench.beats("b")
    bench.expect("accept a as 0", "accept b as 1", "b joined as 1")
    #expect(bench.state.nextExpiry == nil)
    bench.request("a")
    bench.expect("accept a as 2")
  }

  @Test("every way of leaving is told once")
  func leaving() {
    var bench = HubBench()
    for (number, uuid) in ["a", "b", "c", "d"].enumerated() { bench.join(EngineUUID(uuid), connection: Int32(number + 10)) }
    bench.recorder.messages = []
    bench.unregisters(0)
    bench.stops("b")
    bench.disconnects(12)
    bench.shutsDown("d")
    bench.expect("a left 0: unregistered", "b left 1: silent", "c left 2: disconnected", "d left 3: unregistered")
    bench.unregisters(0)
    bench.unregisters(99)
    bench.stops("b")
    bench.stops("stranger")
    bench.disconnects(12)
    bench.disconnects(-1)
    bench.shutsDown("d")
    bench.expect()
    #expect(bench.state.engines.isEmpty)
  }

  @Test("a pending engine that unregisters or disconnects is pending no more")
  func pendingLeaves() {
    var bench = HubBench()
    bench.request("a", connection: 1)
    bench.request("b", connection: 2)
    bench.unregisters(0)
    bench.disconnects(2)
    bench.expect("accept a as 0", "accept b as 1")
    bench.beats("a")
    bench.expect()
    // Its connection was lost, not its heart.
    bench.beats("b")
    bench.expect("b joined as 1")
  }

  @Test("an engine that was given up and says that its connection broke is known for that, once")
  func cutOffWhileSilent() {
    var bench = HubBench()
    bench.request("a", connection: 5)
    bench.beats("a")
    bench.stops("a")
    bench.request("a", connection: 6, resumes: true, wasCutOff: true)
    #expect(bench.state.pending["a"]?.traits.wasCutOff == true)
    // It asks again, because the answer is late.
    bench.request("a", connection: 6, resumes: true)
    bench.beats("a")
    #expect(bench.state.engines[EngineID(0)]?.traits.wasCutOff == true)
    bench.stops("a")
    bench.beats("a")
    #expect(bench.state.engines[EngineID(0)]?.traits.wasCutOff == false)
  }

  @Test("a silent engine that is heard again has its id again, and its connection")
  func revival() {
    var bench = HubBench()
    bench.join("a", connection: 7)
    bench.stops("a")
    bench.beats("a")
    bench.expect("accept a as 0", "a joined as 0", "a left 0: silent", "a joined as 0")
    // When it is killed after that, this is known at once.
    bench.disconnects(7)
    bench.expect("a left 0: disconnected")
  }

  @Test("a connection that ended while its engine was silent belongs to others afterwards")
  func connectionEndsInSilence() {
    var bench = HubBench()
    bench.join("a", connection: 7)
    bench.stops("a")
    bench.disconnects(7)
    bench.beats("a")
    bench.recorder.messages = []
    bench.disconnects(7)
    bench.expect()
  }

  @Test("an engine that registers again after a loss has its old id")
  func registersAgain() {
    var bench = HubBench()
    bench.join("a", connection: 1)
    bench.join("b", connection: 2)
    bench.disconnects(1)
    bench.request("a", connection: 3)
    bench.beats("a")
    #expect(bench.recorder.messages.suffix(2) == ["accept a as 0", "a joined as 0"])
    // One that left of its own will is a new one.
    bench.unregisters(1)
    bench.join("b")
    #expect(bench.state.ids["b"] == EngineID(2))
  }

  @Test("the id of a lost engine that another was given is not given back")
  func idTaken() {
    var bench = HubBench()
    bench.join("a")
    bench.stops("a")
    bench.request("b", wanted: 0)
    // The heart that returns finds its place promised.
    bench.beats("a")
    bench.beats("b")
    bench.expect("accept a as 0", "a joined as 0", "a left 0: silent", "accept b as 0", "b joined as 0")
    bench.request("a", resumes: true)
    bench.beats("a")
    bench.expect("accept a as 1", "a joined as 1")
  }

  @Test("engines of an earlier controller come back under their ids")
  func restoring() {
    var bench = HubBench()
    bench.state.restore([EngineID(3): "a", EngineID(5): "b"], nextID: 4)
    bench.beats("a")
    bench.expect("a joined as 3")
    bench.request("new")
    bench.request("b", resumes: true)
    bench.expect("accept new as 6", "accept b as 5")
  }

  @Test("thousands of engines that come and go leave a bounded memory")
  func lostAreBounded() {
    var state = HubState(registrationTimeout: .seconds(1))
    var recorder = HubRecorder()
    for number in 0..<5000 {
      let uuid = EngineUUID("e\(number)")
      _ = try? state.registrationRequested(uuid, wanted: nil, connection: nil, resumes: false, now: .now, effects: &recorder)
      state.heartStarted(uuid, effects: &recorder)
      state.heartStopped(uuid, effects: &recorder)
    }
    #expect(state.lost.count == 4096)
    #expect(state.lost["e0"] == nil)
    #expect(state.lost["e4999"]?.id == EngineID(4999))
    // One that flaps takes one place.
    for _ in 0..<200 {
      state.heartStarted("e4999", effects: &recorder)
      state.heartStopped("e4999", effects: &recorder)
    }
    #expect(state.lost.count == 4096)
    #expect(state.checkInvariants() == [])
  }
}
