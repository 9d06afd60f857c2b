import ApusMessaging
import Testing
import Transport

/// What a stock cluster really said, byte for byte: it must open, and mean what it meant.
@Suite("Wire snapshots")
struct WireSnapshotTests {
  @Test("every captured message opens and decodes; a second time it is a replay", arguments: StockCapture.messages)
  func opens(message: StockMessage) throws {
    let session = Session(key: StockCapture.key)
    let envelope = try session.open(message.frames)
    #expect(throws: Session.Rejection.replayed) { try session.open(message.frames) }
    let header = try envelope.header()
    #expect(header.type.text == message.type)
    #expect(header.version == "5.4")
    #expect(header.username == "someone")
    let sent = try #require(header.timestamp)
    #expect((1_700_000_000_000_000...4_000_000_000_000_000).contains(sent.microseconds))
    // The scanner reads of each header what the decoder reads.
    #expect(envelope.messageID == header.id)
    #expect(envelope.messageType == header.type)
    #expect(envelope.sessionID == header.session)
    #expect(envelope.parentID == envelope.parentHeader()?.id)
    _ = try envelope.metadata()
    let content = try envelope.content()
    if message.type.hasSuffix("_reply") {
      #expect(content["status"]?.stringValue == "ok")
      #expect(envelope.parentHeader()?.type.reply == header.type)
    }
    // Signed by us it is the same, and under another key nobody's.
    #expect(session.signer.sign(envelope.signedParts) == envelope.signature)
    let other = Session(key: StockCapture.key + "x")
    #expect(throws: Session.Rejection.forged) { try other.open(message.frames) }
    // Written again it still says the same.
    #expect(try Frame(.object(content)).json() == .object(content))
  }

  private func first(_ type: String) throws -> Envelope {
    try #require(StockCapture.messages.first { $0.type == type }.flatMap { Envelope($0.frames) })
  }

  @Test("identities and buffers as they travel")
  func shapes() throws {
    let apply = try first("apply_request")
    #expect(apply.identities.count == 1)
    #expect(apply.identities.first?.count == 33)
    #expect(apply.buffers.count == 4)
    #expect(apply.contentFrame == .emptyObject)
    let reply = try first("apply_reply")
    #expect(reply.identities.first == apply.identities.first)
    #expect(reply.parentHeaderFrame == apply.headerFrame)
    #expect(try reply.metadata()["status"] == "ok")
    #expect(try reply.metadata()["dependencies_met"] == true)
    #expect(try first("stream").identities.first?.text == "engine.0.stdout")
    #expect(try first("connection_reply").identities.isEmpty)
    #expect(try first("execute_request").content()["code"] == "print('grüße')\n1/3")
    #expect(try first("execute_result").content()["data"]?["text/plain"] == "0.3333333333333333")
    #expect(try first("error").content()["ename"] == "ZeroDivisionError")
    #expect(try first("unregistration_notification").content()["id"] == 0)
    #expect(try first("result_reply").buffers.count == 1)
  }

  @Test("a load-balanced request's dependencies")
  func dependencies() throws {
    let request = try #require(
      StockCapture.messages.filter { $0.type == "apply_request" }.compactMap { Envelope($0.frames) }.first { $0.identities.isEmpty }
    )
    let metadata = try request.metadata()
    #expect(Dependency(metadata["after"])?.ids.count == 1)
    #expect(Dependency(metadata["follow"]) == Dependency.none)
    #expect(metadata["timeout"]?.doubleValue == 30.5)
    #expect(metadata["retries"]?.intValue == 2)
  }
}
