import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Task requests and results")
struct TaskRequestTests {
  private func read(_ metadata: JSONValue) throws -> TaskRequest {
    try TaskRequest(Messages.request("a", metadata: metadata), id: "a")
  }

  @Test("what a load-balanced view asks for")
  func whole() throws {
    let request = try read([
      "after": ["x"], "follow": ["dependencies": ["y"], "all": false, "success": true, "failure": true], "timeout": 2.5,
      "targets": ["e0", "e1"],
      "retries": 3, "label": .null,
    ])
    #expect(request.after == Dependency(["x"]))
    #expect(request.follow == Dependency(["y"], all: false, success: true, failure: true))
    #expect(request.timeout == .milliseconds(2500))
    #expect(request.targets == ["e0", "e1"])
    #expect(request.retries == 3)
  }

  @Test(
    "nothing, or nothing in particular",
    arguments: [
      [:], ["after": .null, "follow": [], "timeout": 0, "targets": [], "retries": 0],
      ["timeout": .null, "targets": .null, "retries": .null],
      ["targets": "", "timeout": 1e300], ["timeout": .bigInteger("1" + String(repeating: "0", count: 400))],
    ] as [JSONValue])
  func nothing(metadata: JSONValue) throws {
    let request = try read(metadata)
    #expect(request.after.isEmpty && request.follow.isEmpty && request.targets.isEmpty)
    #expect(request.timeout == nil)
    #expect(request.retries == 0)
  }

  @Test(
    "nonsense is a ValueError for the client",
    arguments: [
      ["after": 1], ["follow": "x"], ["after": ["success": false, "dependencies": ["x"]]], ["retries": -1], ["retries": "many"],
      ["retries": 1.5],
      ["timeout": -1], ["timeout": "soon"], ["targets": [1]], ["targets": "e0"], ["targets": ["e0": 1]], [], .null, "text", 5,
    ] as [JSONValue])
  func nonsense(metadata: JSONValue) {
    #expect {
      _ = try read(metadata)
    } throws: { ($0 as? RemoteError)?.name == "ValueError" }
  }

  @Test("what an engine's reply says")
  func results() throws {
    func result(_ metadata: JSONValue) -> TaskReply? { TaskReply(Messages.reply(to: "a", metadata: metadata)) }
    #expect(result(["status": "ok"])?.status == .ok)
    #expect(result(["status": "error"])?.status == .error)
    #expect(result(["status": "aborted"])?.status == .aborted)
    #expect(result(["dependencies_met": false, "refused": true, "status": "error"])?.isRefusal == true)
    #expect(result(["dependencies_met": false, "status": "error"])?.isRefusal == false)
    #expect(result(["status": "strange"])?.status == .error)
    #expect(result(["status": "error", "dependencies_met": false])?.dependenciesMet == false)
    #expect(result(["status": "ok"])?.dependenciesMet == true)
    #expect(result([:])?.status == .ok, "the content says it")
    #expect(result(["status": "ok"])?.id == "a")
    // Written in ways that Python does not use, but may.
    let odd = Envelope(
      identities: [], signature: .empty, header: Frame(["msg_id": "r"]), parentHeader: Frame(["msg_id": "a"]),
      metadata: Frame("{ \"sta\\u0074us\":\n\"error\", \"dependencies\\u005fmet\" :\tfalse}"),
      content: Frame("{\"status\" : \"error\"}"))
    #expect(TaskReply(odd)?.status == .error)
    #expect(TaskReply(odd)?.dependenciesMet == false)
    let orphan = Envelope(
      signature: .empty, header: Frame(["msg_id": "r"]), parentHeader: .emptyObject, metadata: .emptyObject, content: .emptyObject)
    #expect(TaskReply(orphan) == nil)
  }
}
