import ApusMessaging
import Testing
import Transport
@testable import ApusEngine

@Suite struct ReplyMetadataTests {
  private func metadata(_ status: ReplyMetadata.Status = .ok) -> ReplyMetadata {
    ReplyMetadata(started: Timestamp(microseconds: 0), status: status, uuid: "uuid", id: EngineID(2))
  }

  @Test func aPlainReply() {
    #expect(
      metadata().frame(answering: .emptyObject).text
        == """
        {"started":"1970-01-01T00:00:00.000000Z","dependencies_met":true,"engine":"uuid","is_broadcast":false,"is_coalescing":false,\
        "original_msg_id":"","label":null,"status":"ok"}
        """)
  }

  @Test func whatTheRequestSaidComesBack() throws {
    let request = Frame(
      "{\"label\":\"a \\\"b\\\"\",\"is_broadcast\":true,\"is_coalescing\":true,\"original_msg_id\":\"m\",\"targets\":[]}")
    let answer = try metadata().frame(answering: request).json()
    #expect(answer["label"] == "a \"b\"")
    #expect(answer["is_broadcast"] == true)
    #expect(answer["is_coalescing"] == true)
    #expect(answer["original_msg_id"] == "m")
    #expect(answer["targets"] == nil)
  }

  @Test(arguments: ["", "[]", "null", "{", "\u{0}"]) func nonsenseIsNoMetadata(_ text: String) throws {
    #expect(try metadata().frame(answering: Frame(text)).json()["label"] == JSONValue.null)
  }

  @Test func errorsNameTheEngine() throws {
    var failed = metadata(.error)
    failed.dependenciesMet = false
    failed.codec = "cloudpickle"
    let answer = try failed.frame(answering: .emptyObject).json()
    #expect(answer["engine_info"] == ["engine_uuid": "uuid", "engine_id": 2])
    #expect(answer["dependencies_met"] == false)
    #expect(answer["codec"] == "cloudpickle")
  }

  @Test func failuresSayWhichTryTheyAreOf() throws {
    #expect(try metadata(.error).frame(answering: .emptyObject).json()["attempt"] == 0)
    #expect(try metadata(.aborted).frame(answering: Frame(["attempt": 3, "scheduler": "s"])).json()["attempt"] == 3)
    #expect(try metadata().frame(answering: Frame(["attempt": 3])).json()["attempt"] == nil)
  }
}
