import ApusMessaging
import Testing

@testable import ApusController

@Suite("Direct requests")
struct DirectRequestsTests {
  @Test("each ends once: by its engine's answer, or with its engine")
  func ends() {
    var requests = DirectRequests()
    func submit(_ id: MessageID, to engine: EngineUUID) -> Bool { requests.submitted(id, to: engine) }
    func answer(_ id: MessageID, by engine: EngineUUID) -> Bool { requests.answered(id, by: engine) }
    func lose(_ engine: EngineUUID) -> [MessageID] { requests.lost(engine) }
    for id in ["x", "y", "z"] as [MessageID] { #expect(submit(id, to: "a")) }
    #expect(submit("u", to: "b"))
    #expect(!submit("u", to: "a"), "it is under way")
    #expect(!answer("x", by: "b"), "another engine was asked")
    #expect(answer("x", by: "a"))
    #expect(!answer("x", by: "a"))
    #expect(lose("a") == ["y", "z"])
    #expect(lose("a") == [])
    #expect(!answer("y", by: "a"), "too late")
    #expect(answer("u", by: "b"))
    #expect(requests.count == 0)
  }
}
