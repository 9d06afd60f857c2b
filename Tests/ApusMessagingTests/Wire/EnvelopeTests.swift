import ApusMessaging
import TestSupport
import Testing
import Transport

@Suite("Envelope")
struct EnvelopeTests {
  private static func frames(_ texts: [String]) -> [Frame] { texts.map { Frame($0) } }
  static let whole = frames([
    "client", "engine", "<IDS|MSG>", "", #"{"msg_id":"a","msg_type":"t"}"#, "{}", "{}", #"{"x":1}"#, "buffer 0", "buffer 1",
  ])

  @Test("every part is where it belongs")
  func parts() throws {
    let envelope = try #require(Envelope(Self.whole))
    #expect(envelope.identities.map(\.text) == ["client", "engine"])
    #expect(envelope.signature.isEmpty)
    #expect(envelope.messageID == "a")
    #expect(envelope.messageType == "t")
    #expect(envelope.parentID == nil)
    #expect(envelope.parentHeader() == nil)
    #expect(try envelope.content() == ["x": 1] as JSONObject)
    #expect(try envelope.metadata().isEmpty)
    #expect(envelope.buffers.map(\.text) == ["buffer 0", "buffer 1"])
    #expect(envelope.signedParts.count == 4)
    #expect(envelope.payload.first == .delimiter)
    #expect(envelope.byteCount == Self.whole.reduce(0) { $0 + $1.count })
    #expect(envelope.frames == Self.whole)
  }

  @Test("a message that is cut off anywhere before its content is none", arguments: 0..<8)
  func truncated(count: Int) { #expect(Envelope(Array(Self.whole[..<count])) == nil) }

  @Test(
    "frames that make no sense are no message, or one whose parts are errors",
    arguments: [
      [], [""], ["<IDS|MSG>"], ["<IDS|MSG>", "", "", "", ""], ["", "", "", "", "", "", "", ""],
      ["<ids|msg>", "", "{}", "{}", "{}", "{}"],
      [" <IDS|MSG>", "", "{}", "{}", "{}", "{}"],
    ])
  func absurd(texts: [String]) { #expect(Envelope(Self.frames(texts)) == nil) }

  @Test(
    "dictionaries that are none are errors when they are read, not before",
    arguments: ["", "[]", "null", "1", "\"a\"", "{", "{\"a\":}", "\u{0}"])
  func badDictionaries(text: String) throws {
    let envelope = try #require(Envelope(Self.frames(["<IDS|MSG>", "", text, text, text, text])))
    #expect(throws: MessageError.self) { try envelope.header() }
    #expect(throws: MessageError.self) { try envelope.metadata() }
    #expect(throws: MessageError.self) { try envelope.content() }
    #expect(envelope.messageID == nil)
    #expect(envelope.messageType == nil)
    #expect(envelope.parentID == nil)
    #expect(envelope.parentHeader() == nil)
    #expect(TaskResultLike.status(envelope) == nil)
  }

  private enum TaskResultLike {
    static func status(_ envelope: Envelope) -> String? { try? envelope.content()["status"]?.stringValue }
  }

  @Test("the first delimiter counts")
  func delimiters() throws {
    let envelope = try #require(
      Envelope(Self.frames(["i", "<IDS|MSG>", "<IDS|MSG>", #"{"msg_id":"a"}"#, "{}", "{}", "{}", "<IDS|MSG>"])))
    #expect(envelope.identities.map(\.text) == ["i"])
    #expect(envelope.signature == .delimiter)
    #expect(envelope.buffers.map(\.text) == ["<IDS|MSG>"])
  }

  @Test("routing changes the identities and nothing else", arguments: [0, 1, 2, 5])
  func routed(count: Int) throws {
    let envelope = try #require(Envelope(Self.whole))
    let routed = envelope.routed(to: (0..<count).map { Frame("hop \($0)") })
    #expect(routed.identities.map(\.text) == (0..<count).map { "hop \($0)" })
    #expect(routed.payload == envelope.payload)
    #expect(routed.messageID == "a")
    #expect(routed.delimiter == count)
    #expect(Envelope(routed.frames)?.payload == envelope.payload)
  }

  @Test("an id with escapes is found by the full decode")
  func escaped() throws {
    let envelope = try #require(
      Envelope(Self.frames(["<IDS|MSG>", "", #"{"msg\u005fid":"a\"b","session":"s\n"}"#, "{}", "{}", "{}"])))
    #expect(envelope.messageID == "a\"b")
    #expect(envelope.sessionID == SessionID("s\n"))
  }

  @Test("thousands of identities, and buffers")
  func many() throws {
    let identities = (0..<5000).map { Frame("\($0)") }
    let envelope = try #require(Envelope(identities + Self.whole[2...] + identities))
    #expect(envelope.identities.count == 5000)
    #expect(envelope.buffers.count == 5002)
  }
}

@Suite("Session")
struct SessionTests {
  @Test("what one session says another one with the same key understands")
  func roundTrip() throws {
    var sender = Session(id: SessionID("sender"), key: "key", username: "me\"", processID: 7)
    var receiver = Session(key: "key")
    let request = sender.message(
      "apply_request", content: ["a": 1], metadata: ["retries": 2], identities: [Frame("to")], buffers: [Frame("b")])
    let received = try receiver.open(request.frames)
    let header = try received.header()
    #expect(header.id == "sender_7_0")
    #expect(header.type == .applyRequest)
    #expect(header.username == "me\"")
    #expect(header.session == SessionID("sender"))
    #expect(header.version == "5.4")
    #expect(header.timestamp != nil)
    #expect(try received.content() == ["a": 1] as JSONObject)
    #expect(try received.metadata() == ["retries": 2] as JSONObject)
    let reply = receiver.message("apply_reply", parentHeader: received.headerFrame)
    let back = try sender.open(reply.frames)
    #expect(back.parentID == header.id)
    #expect(back.parentSessionID == header.session)
    #expect(back.parentHeader() == header)
    #expect(sender.nextID() == "sender_7_1")
  }

  @Test("ids are never the same")
  func ids() {
    var sessions = (0..<10).map { _ in Session(key: "") }
    var seen: Set<MessageID> = []
    for index in sessions.indices { for _ in 0..<100 { seen.insert(sessions[index].nextID()) } }
    #expect(seen.count == 1000)
    #expect(sessions[0].id.text.utf8.count == 33)
    #expect(sessions[0].id.text.utf8.dropFirst(8).first == UInt8(ascii: "-"))
  }

  @Test("rejections: each with its name")
  func rejections() {
    var sender = Session(key: "key")
    let good = sender.message("t", content: ["a": 1], buffers: [Frame("b")])
    func check(_ frames: [Frame], _ rejection: Session.Rejection, at location: SourceLocation = #_sourceLocation) {
      let receiver = Session(key: "key")
      #expect(throws: rejection, sourceLocation: location) { try receiver.open(frames) }
      // A refused message leaves no trace: the good one is still new.
      #expect(throws: Never.self, sourceLocation: location) { try receiver.open(good.frames) }
    }
    for count in 0..<6 { check(Array(good.frames[..<count]), .truncated) }
    func changed(_ index: Int, _ frame: Frame) -> [Frame] {
      var frames = good.frames
      frames[index] = frame
      return frames
    }
    check(changed(1, .empty), .unsigned)
    for index in 2...5 { check(changed(index, Frame(good.frames[index].text + " ")), .forged) }
    check(changed(1, Frame(good.signature.text.uppercased())), .forged)
    check(changed(1, Frame(String(good.signature.text.dropLast()))), .forged)
    check(changed(1, Frame(good.signature.text + "0")), .forged)
    check(changed(1, Frame("x")), .forged)
    // Frames moved about are other messages.
    var swapped = good.frames
    swapped.swapAt(2, 5)
    check(swapped, .forged)
    var other = Session(key: "other")
    check(other.message("t").frames, .forged)
  }

  @Test("a message that comes twice is a replay, whatever its routing and buffers")
  func replay() throws {
    var sender = Session(key: "key")
    let receiver = Session(key: "key")
    let message = sender.message("t", identities: [Frame("a")])
    _ = try receiver.open(message.frames)
    #expect(throws: Session.Rejection.replayed) { try receiver.open(message.frames) }
    #expect(throws: Session.Rejection.replayed) { try receiver.open(message.routed(to: []).frames + [Frame("buffer")]) }
    _ = try receiver.open(sender.message("t").frames)
  }

  @Test("without a key anything with the right frames passes, as often as it comes")
  func withoutKey() throws {
    var session = Session(key: "")
    let message = session.message("t")
    #expect(message.signature.isEmpty)
    _ = try session.open(message.frames)
    _ = try session.open(message.frames)
    var signing = Session(key: "key")
    _ = try session.open(signing.message("t").frames)
    #expect(throws: Session.Rejection.truncated) { try session.open([.delimiter]) }
    #expect(throws: Session.Rejection.unsigned) { try signing.open(message.frames) }
  }

  @Test("noise is rejected, and nothing traps")
  func noise() {
    let seed = SeededGenerator.seed()
    var random = SeededGenerator(seed: seed)
    let session = Session(key: "key")
    var sender = Session(key: "key")
    for _ in 0..<2000 {
      var frames = sender.message("t", content: ["a": "b"]).frames
      for _ in 0..<Int.random(in: 1...3, using: &random) where !frames.isEmpty {
        let index = Int.random(in: 0..<frames.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: frames.remove(at: index)
        case 1: frames[index] = Frame(random.bytes(0...70))
        case 2: frames[index] = Frame(random.mutation(of: frames[index].bytes))
        default: frames.swapAt(index, Int.random(in: 0..<frames.count, using: &random))
        }
      }
      let opened = try? session.open(frames)
      if let opened {
        #expect(
          opened.signedParts.elementsEqual(sender.signer.verify(opened.signature, opened.signedParts) ? opened.signedParts : []),
          "seed \(seed)")
      }
    }
  }
}
