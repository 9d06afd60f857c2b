import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Journal: requests that stay bytes")
struct StoredRequestsTests {
  private func message(_ number: Int, _ client: String, function: Int, argument: String) -> Envelope {
    let header: JSONValue = ["msg_id": .string("t\(number)"), "msg_type": "apply_request"]
    return Envelope(
      identities: [Frame(client)], signature: .empty, header: Frame(header), parentHeader: .emptyObject,
      metadata: Frame(number % 2 == 0 ? #"{"a": 1}"# : "{}"), content: .emptyObject,
      buffers: [Frame([UInt8](repeating: 3, count: function)), Frame(argument), .empty])
  }

  @Test("each becomes the message that it was, wherever a part ends", arguments: [1 << 30, 200, 0])
  func roundTrip(limit: Int) throws {
    let messages = (0..<60).map { number in
      message(number, "client \(number / 20)", function: number / 15 % 2 == 0 ? 100 : 10_000, argument: "\(number / 2)")
    }
    let requests = StoredRequest.samples(messages, limit: limit)
    #expect(requests.map(\.message.frames) == messages.map(\.frames))
    #expect(requests.map(\.message.delimiter) == messages.map(\.delimiter))
    #expect(requests.map(\.byteCount) == messages.map(\.byteCount))
    #expect(requests.map(\.client) == messages.map(\.identities.first))
    #expect(requests.map(\.metadata) == messages.map(\.metadataFrame))
    #expect(requests.map(\.header) == messages.map(\.headerFrame) && requests.map(\.content) == messages.map(\.contentFrame))
    #expect(
      requests.map(\.buffers) == messages.map { Array($0.buffers) } && requests.map(\.bufferCount) == messages.map(\.buffers.count))
    #expect(requests.map(\.signature) == messages.map(\.signature))
    #expect(requests[0].isFrom(Frame("client 0")) && !requests[0].isFrom(Frame("client 1")) && !requests[0].isFrom(.empty))
    #expect(requests[2].hasMetadata(Frame(#"{"a": 1}"#)) && !requests[2].hasMetadata(.emptyObject))
    #expect((Set(requests.map(\.part)).count > 1) == (limit < 1 << 30))
    #expect(Dictionary(grouping: requests, by: \.part).values.allSatisfy { $0[0].partAmount.requests == $0.count })
    if limit == 1 << 30 {
      #expect(requests[1].sharesClient(with: requests[0]) && !requests[20].sharesClient(with: requests[19]))
      #expect(!requests[1].sharesMetadata(with: requests[0]))
      // A large frame is there once.
      #expect(requests[16].message.frames[7].isIdentical(to: requests[17].message.frames[7]))
    }
  }

  @Test("where most of a part has ended, what is left of it does not keep it in memory")
  func leftOver() {
    let argument = String(repeating: "a", count: 15 << 20)
    let messages = (0..<6).map { message($0, "c", function: 5, argument: $0 < 3 ? "\($0)\(argument)" : "\($0)") }
    var bench = RecoveryBench()
    bench.restore(
      StoredRequest.samples(messages, limit: 1 << 30).enumerated().map { RestatedTask(id: MessageID("t\($0)"), .stored($1)) })
    func storedCount() -> Int { bench.state.tasks.values.filter { $0.request.stored != nil }.count }
    bench.register("e0")
    #expect(storedCount() == 5)
    bench.complete("t0", by: "e0")
    #expect(storedCount() == 0 && bench.state.leftOverBytes == 0)
    #expect(bench.state.messageBytes == messages[1...].reduce(0) { $0 + $1.byteCount })
    for number in 1..<6 { bench.complete(MessageID("t\(number)"), by: "e0") }
    #expect(bench.effects.answers.count == 6)
  }

  @Test("a part whose requests go in their order is left alone")
  func inOrder() {
    let messages = (0..<6).map { message($0, "c", function: 5, argument: "\($0)") }
    var bench = RecoveryBench()
    bench.restore(
      StoredRequest.samples(messages, limit: 1 << 30).enumerated().map { RestatedTask(id: MessageID("t\($0)"), .stored($1)) })
    bench.register("e0")
    for number in 0..<4 { bench.complete(MessageID("t\(number)"), by: "e0") }
    #expect(bench.state.tasks["t5"]?.request.stored != nil && bench.state.leftOverBytes > 0)
    bench.complete("t4", by: "e0")
    #expect(bench.state.leftOverBytes == 0)
  }

  @Test("its client may have another name, and another one again")
  func rerouted() {
    let sent = message(1, "client", function: 10_000, argument: "x")
    for first in [KeptRequest.stored(StoredRequest.samples([sent], limit: 1 << 30)[0]), .message(sent)] {
      var kept = first
      kept.reroute(to: Frame("client"))
      #expect(kept.message.frames == sent.frames && kept.byteCount == sent.byteCount)
      for name in ["a longer name", "short"] {
        kept.reroute(to: Frame(name))
        let expected = sent.routed(to: [Frame(name)])
        #expect(kept.message.frames == expected.frames && kept.byteCount == expected.byteCount && kept.isOwn)
        #expect(kept.client == Frame(name) && kept.isFrom(Frame(name)) && !kept.isFrom(Frame("client")))
      }
      kept.open()
      #expect(kept.message.frames == sent.routed(to: [Frame("short")]).frames)
    }
  }

  private func expectNothingBefore(_ writer: inout StoredRequests.Writer, at location: SourceLocation = #_sourceLocation) {
    writer.begin()
    let isThere = writer.repeatFrame()
    #expect(!isThere, sourceLocation: location)
  }

  @Test("what is no message is not taken, and what follows has nothing in common with it")
  func noMessage() {
    var writer = StoredRequests.Writer()
    expectNothingBefore(&writer)
    for frame in [Frame("client"), .delimiter, .empty] { frame.withUnsafeBytes { writer.append($0) } }
    var request = writer.end()
    #expect(request == nil)
    expectNothingBefore(&writer)
    for frame in message(1, "c", function: 5, argument: "").frames { frame.withUnsafeBytes { writer.append($0) } }
    request = writer.end()
    #expect(request != nil)
    writer.forgetFormer()
    expectNothingBefore(&writer)
  }

  @Test("requests of a journal are read as messages are: what they ask for is decoded once for those that ask for the same")
  func reading() throws {
    let messages = (0..<6).map { message($0, "c", function: 5, argument: "") }
    var reader = TaskRequestReader()
    for (number, request) in StoredRequest.samples(messages, limit: 1 << 30).enumerated() {
      var kept = KeptRequest.stored(request)
      let isPlain = reader.isPlain(&kept)
      #expect(!isPlain, "each asks for something else than the one before")
      let read = try reader.read(&kept, id: MessageID("t\(number)"))
      #expect(read.message.frames == messages[number].frames && read.isPlain && read.id == MessageID("t\(number)"))
      let isPlainNow = reader.isPlain(&kept)
      #expect(isPlainNow)
    }
    var live = messages[0]
    let read = try reader.read(&live, id: "x")
    #expect(read.message.frames == messages[0].frames)
    var kept = KeptRequest.stored(StoredRequest.samples(messages, limit: 0)[1])
    let isPlain = reader.isPlain(&kept)
    #expect(!isPlain, "of the live one the metadata is another")
  }
}
