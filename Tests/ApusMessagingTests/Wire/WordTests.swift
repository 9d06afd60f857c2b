import ApusMessaging
import TestSupport
import Testing
import Transport

@Suite("Timestamp")
struct TimestampTests {
  @Test(
    "known moments",
    arguments: [
      ("1970-01-01T00:00:00.000000Z", 0), ("1970-01-01T00:00:00.000001Z", 1), ("1969-12-31T23:59:59.999999Z", -1),
      ("2000-02-29T23:59:59.999999Z", 951_868_799_999_999), ("2026-11-23T13:28:35.442000Z", 1_795_440_515_442_000),
      ("1900-03-01T00:00:00.000000Z", -2_203_891_200_000_000), ("0001-01-01T00:00:00.000000Z", -62_135_596_800_000_000),
      ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ])
  func known(text: String, microseconds: Int) {
    #expect(Timestamp(text)?.microseconds == microseconds)
    #expect(Timestamp(microseconds: microseconds).description == text)
  }

  @Test(
    "every form that Python writes or reads",
    arguments: [
      ("2026-01-02T03:04:05Z", 0), ("2026-01-02 03:04:05Z", 0), ("2026-01-02T03:04:05.5Z", 500_000),
      ("2026-01-02T03:04:05.12Z", 120_000),
      ("2026-01-02T03:04:05.123456Z", 123_456), ("2026-01-02T03:04:05.123456789Z", 123_456), ("2026-01-02T03:04:05", 0),
      ("2026-01-02T03:04:05+00:00", 0), ("2026-01-02T05:04:05+02:00", 0), ("2026-01-02T08:34:05+0530", 0),
      ("2026-01-01T19:04:05-08:00", 0),
      ("2026-01-02T05:04:05.25+02", 250_000),
    ])
  func forms(text: String, microseconds: Int) {
    #expect(Timestamp(text)?.microseconds == 1_767_323_045_000_000 + microseconds)
  }

  @Test(
    "what is no date",
    arguments: [
      "", "now", "2026", "2026-01-02", "2026-01-02T", "2026-1-2T03:04:05Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
      "2026-01-32T00:00:00Z",
      "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z",
      "2026-01-01T00:00:00ZZ",
      "2026-01-01T00:00:00+5", "2026-01-01X00:00:00Z", "２０２６-01-01T00:00:00Z", "-026-01-01T00:00:00Z", "2026-01-01T00:00:00 UTC",
    ])
  func invalid(text: String) { #expect(Timestamp(text) == nil) }

  @Test("written and read back, and in order")
  func roundTrip() throws {
    let seed = SeededGenerator.seed()
    var random = SeededGenerator(seed: seed)
    var previous: (Timestamp, String)?
    for _ in 0..<5000 {
      let moment = Timestamp(microseconds: Int.random(in: -62_135_596_800_000_000...253_402_300_799_999_999, using: &random))
      let text = moment.description
      #expect(Timestamp(text) == moment, "seed \(seed)")
      if let previous { #expect((previous.0 < moment) == (previous.1 < text), "seed \(seed)") }
      previous = (moment, text)
    }
    #expect(Timestamp(Timestamp.now().description) != nil)
    // Far outside of four-digit years: some text, no trap.
    _ = Timestamp(microseconds: .max).description
    _ = Timestamp(microseconds: .min).description
  }

  @Test("damaged dates")
  func damaged() {
    var random = SeededGenerator(seed: SeededGenerator.seed())
    for _ in 0..<3000 {
      _ = Timestamp(String(decoding: random.mutation(of: Array("2026-01-02T03:04:05.123456+05:30".utf8)), as: UTF8.self))
    }
  }
}

@Suite("Dependency")
struct DependencyTests {
  enum State: CaseIterable { case unfinished, succeeded, failed }

  /// Protocol section 10.2, in sets: what counts, what can never count.
  @Test("met and unreachable, for every state of two tasks and every kind of dependency", arguments: State.allCases, State.allCases)
  func truthTable(a: State, b: State) {
    let states: [MessageID: State] = ["a": a, "b": b]
    let succeeded = { (id: MessageID) in states[id] == .succeeded }
    let failed = { (id: MessageID) in states[id] == .failed }
    let completed = Set(states.filter { $0.value == .succeeded }.keys)
    let broken = Set(states.filter { $0.value == .failed }.keys)
    let ids: Set<MessageID> = ["a", "b"]
    for (success, failure) in [(true, false), (false, true), (true, true)] {
      let counting = (success ? completed : []).union(failure ? broken : [])
      let lost = (success ? [] : completed).union(failure ? [] : broken)
      for all in [true, false] {
        let dependency = Dependency(ids, all: all, success: success, failure: failure)
        let isMet = dependency.isMet(succeeded: succeeded, failed: failed)
        let isUnreachable = dependency.isUnreachable(succeeded: succeeded, failed: failed)
        #expect(isMet == (all ? ids.isSubset(of: counting) : !ids.isDisjoint(with: counting)))
        #expect(isUnreachable == (all ? !ids.isDisjoint(with: lost) : ids.isSubset(of: lost)))
        #expect(!(isMet && isUnreachable))
        // When everything has ended it is one or the other.
        if a != .unfinished, b != .unfinished { #expect(isMet != isUnreachable) }
      }
    }
  }

  @Test("depending on nothing is always met")
  func empty() {
    for all in [true, false] {
      let dependency = Dependency(all: all)
      #expect(dependency.isEmpty)
      #expect(dependency.isMet(succeeded: { _ in false }, failed: { _ in false }))
      #expect(!dependency.isUnreachable(succeeded: { _ in false }, failed: { _ in true }))
    }
  }

  @Test("the forms of the wire")
  func parsing() {
    #expect(Dependency(nil) == Dependency.none)
    #expect(Dependency(.null) == Dependency.none)
    #expect(Dependency([]) == Dependency.none)
    #expect(Dependency(["a", "b", "a"]) == Dependency(["a", "b"]))
    #expect(
      Dependency(["dependencies": ["a"], "all": false, "success": false, "failure": true])
        == Dependency(["a"], all: false, success: false, failure: true))
    #expect(Dependency(["dependencies": ["a"]]) == Dependency(["a"]))
    #expect(Dependency([:]) == Dependency.none)
    let dependency = Dependency(["x", "y"], all: false, success: true, failure: true)
    #expect(Dependency(dependency.json) == dependency)
  }

  @Test(
    "what is no dependency",
    arguments: [
      1, "a", true, [1], ["a", .null], ["dependencies": "a"], ["dependencies": [1]],
      ["dependencies": ["a"], "success": false, "failure": false],
    ] as [JSONValue])
  func invalid(json: JSONValue) { #expect(Dependency(json) == nil) }
}

@Suite("Words of the wire")
struct WordTests {
  @Test("a request's reply")
  func reply() {
    #expect(MessageType.applyRequest.reply == .applyReply)
    #expect(MessageType("_request").reply == "_reply")
    #expect(MessageType("x").reply == "x_reply")
  }

  @Test("headers: what must be there, and what need not be")
  func headers() {
    #expect(Header(["msg_id": "a"]) == nil)
    #expect(Header(["msg_type": "a"]) == nil)
    #expect(Header(["msg_id": 1, "msg_type": "a"]) == nil)
    #expect(Header([]) == nil)
    let sparse = Header(["msg_id": "a", "msg_type": "b", "session": 1])
    #expect(sparse?.session.text == "")
    let header = Header(id: "a", type: "b", username: "c", session: SessionID("d"), date: "2026-01-02T03:04:05Z")
    #expect(Header(header.json) == header)
    #expect(Header(Frame(header.json)) == header)
    #expect(header.json.objectValue?.keys == ["msg_id", "msg_type", "username", "session", "date", "version"])
  }

  @Test("errors of the other side")
  func remoteErrors() throws {
    let error = RemoteError(
      name: "ValueError", value: "no", traceback: ["a", "b"], engine: .init(uuid: "u", id: EngineID(3), method: "execute"))
    #expect(RemoteError(try #require(error.content.objectValue)) == error)
    let plain = RemoteError(name: "KeyError", value: "")
    #expect(RemoteError(try #require(plain.content.objectValue)) == plain)
    #expect(plain.content["engine_info"] == [:])
    #expect(plain.description == "KeyError")
    #expect(RemoteError(["status": "ok", "ename": "x"]) == nil)
    #expect(RemoteError(["status": "error"]) == nil)
  }
}
