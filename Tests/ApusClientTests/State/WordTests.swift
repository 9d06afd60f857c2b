import ApusMessaging
import Testing
import Transport

@testable import ApusClient

/// Ids, headers and spliced metadata: bytes that others read.
struct WordTests {
  let ids = RequestIDs(session: SessionID("5ca1ab1e-1"), processID: 42)

  @Test func headersAreHeaders() throws {
    var writer = HeaderWriter(ids: ids, username: "a \"quoted\" name")
    for number in [0, 7, 10, 1_234_567_890] {
      for type in [MessageType.applyRequest, .executeRequest, MessageType("odd\"type")] {
        let frame = writer.header(TaskNumber(raw: number), type)
        let header = try #require(Header(frame))
        #expect(header.id == ids.id(of: TaskNumber(raw: number)))
        #expect(header.type == type)
        #expect(header.username == "a \"quoted\" name")
        #expect(header.session == ids.session)
        #expect(header.version == "5.4")
        #expect(header.timestamp != nil)
        #expect(ids.match(frame) == RequestIDs.Match(number: TaskNumber(raw: number)))
      }
    }
  }

  @Test func idsAreReadBack() {
    #expect(ids.match(Frame(["msg_type": "x", "msg_id": "5ca1ab1e-1_42_17"])) == .init(number: TaskNumber(raw: 17)))
    #expect(ids.match(Frame(["msg_id": "5ca1ab1e-1_42_17_e-5"])) == .init(number: TaskNumber(raw: 17), engine: "e-5"))
    for text in [
      "", "{", "{}", "[]", "{\"msg_id\":\"5ca1ab1e-1_42_", "{\"msg_id\":\"5ca1ab1e-1_42_\"}", "{\"msg_id\":\"5ca1ab1e-1_42_x\"}",
      "{\"msg_id\":\"5ca1ab1e-1_42_99999999999999999999999999\"}", "{\"msg_id\":\"5ca1ab1e-1_43_1\"}", "{\"msg_id\":5}",
    ] { #expect(ids.match(Frame(text)) == nil, "\(text)") }
  }

  @Test func objectsAreJoined() throws {
    let one = Frame(["a": 1])
    let two = Frame(["b": [2]])
    #expect(try one.joined(with: two).json() == ["a": 1, "b": [2]])
    #expect(one.joined(with: .emptyObject) == one)
    #expect(Frame.emptyObject.joined(with: two) == two)
    #expect(Frame("{}" as String).joined(with: two) == two)
  }

  @Test func aNamedEngineRunsPythonThoughItIsAwaited() throws {
    func engine(_ id: Int, _ kind: EngineKind) -> RegisteredEngine {
      RegisteredEngine(id: EngineID(id), uuid: EngineUUID("e\(id)"), kind: kind)
    }
    let engines = ([engine(0, .python)], [engine(1, .python), engine(2, .swift)])
    let (swift, python) = ([EngineID(0), EngineID(2)], [EngineID(0), EngineID(1)])
    #expect(try EngineSelection.engines(python).ofPythonEngines(among: engines) == .engines(python))
    #expect(throws: ClientError.self) { try EngineSelection.engines(swift).ofPythonEngines(among: engines) }
    // What names nobody is for who is there.
    #expect(try EngineSelection.all.ofPythonEngines(among: engines) == .all)
  }

  @Test func viewsSettingsAreMetadata() async throws {
    try await withTestCluster(engines: 1) { _, client in
      var view = client.loadBalancedView()
      #expect(view.metadata.isIdentical(to: .emptyObject))
      view.retries = 2
      view.timeout = .milliseconds(1500)
      view.after = Dependency(["x"])
      try view.setTargets(.all)
      let metadata = try view.metadata.json()
      #expect(metadata["retries"] == 2)
      #expect(metadata["timeout"] == 1.5)
      #expect(metadata["targets"]?.stringArrayValue == client.engines.map(\.uuid.text))
      #expect(Dependency(metadata["after"]) == Dependency(["x"]))
    }
  }
}
