import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusController

/// Found by the simulation (seed 5200393): what was on its way when the controller died comes before what was lost with it.
@Suite("Task scheduler: tasks that come before what they name", .timeLimit(.minutes(patience)))
struct DeferringTests {
  @Test("after a restart such a task waits for the others, which its client sends again")
  func order() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("c", follow: .all("b"))
    bench.submit("b", after: .all("a", failure: true))
    bench.submit("itself", after: .all("itself"))
    bench.effects.expect("itself: InvalidDependency")
    // What waits here is not sent again.
    #expect(bench.resume("a", "b", "c").unknown == ["a"])
    bench.submit("b", after: .all("a", failure: true))
    bench.submit("a")
    #expect(Set(bench.state.tasks.keys) == ["a", "b", "c"] && bench.state.recovery?.deferred.isEmpty == true)
    bench.complete("a", by: "e0", .error)
    bench.complete("b", by: "e0")
    bench.complete("c", by: "e0")
    bench.effects.expect("a → e0", "a: answer of e0", "b → e0", "b: answer of e0", "c → e0", "c: answer of e0")
    bench.pass(5)
    bench.effects.expect()
  }

  @Test("each waits for as long as it may by itself, and its bytes count as those of others do")
  func patienceOfEach() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("b", after: .all("a"))
    #expect(bench.state.messageBytes == Messages.request("b").byteCount && bench.state.keptCount == 1)
    bench.pass(3)
    bench.submit("d", after: .all("c"))
    bench.submit("f", after: .all("c", "e"))
    bench.pass(2)
    bench.effects.expect("b: InvalidDependency")
    bench.pass(1)
    bench.submit("c")
    bench.effects.expect("c → e0")
    #expect(bench.state.tasks["d"] != nil && bench.state.tasks["f"] == nil)
    bench.pass(2)
    bench.effects.expect("f: InvalidDependency")
    #expect(bench.state.recovery?.deferred.isEmpty == true && bench.state.keptCount == 2)
  }

  /// Found by the simulation (seed 1438366637): it was said to be unknown, and the answer of the first message went to nobody.
  @Test("a client that comes back under another name is answered for such a task as well")
  func rerouted() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.submit("b", after: .all("a"))
    bench.pass(4)
    #expect(bench.resume("b", "x").unknown == ["x"])
    // As a client does that asked before it came here.
    bench.submit("b", after: .all("a"))
    #expect(bench.state.keptCount == 1)
    #expect(bench.resume("b") == .init())
    bench.pass(1)
    bench.effects.expect("b: InvalidDependency")
    #expect(bench.effects.failedFor == [Frame("again")])
    #expect(bench.state.keptCount == 0 && bench.state.messageBytes == 0)
  }

  @Test("while clients are kept from sending what it waits for, its time does not pass")
  func clientsWait() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("b", after: .all("a"))
    bench.state.clientsWait = true
    bench.pass(20)
    bench.effects.expect()
    bench.state.clientsWait = false
    bench.pass(4)
    bench.submit("a")
    bench.effects.expect("a → e0")
    #expect(bench.state.tasks["b"] != nil)
  }

  @Test("many small ones that wait for what clients are to send are themselves what fills the queue, and do not wait for ever")
  func clientsWaitForThem() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    for number in 0..<100 { bench.submit(MessageID("t\(number)"), after: .all("a")) }
    let held = bench.state.heldBytes
    bench.state.noteClients(wait: true, byteLimit: held)
    #expect(!bench.state.clientsWait)
    bench.state.noteClients(wait: true, byteLimit: 3 * held)
    #expect(bench.state.clientsWait)
    bench.state.noteClients(wait: false, byteLimit: 3 * held)
    #expect(!bench.state.clientsWait)
  }

  @Test("a task whose message asked for nonsense has come, too")
  func refused() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("b", after: .all("a", failure: true))
    bench.state.refuse(Messages.request("a"), id: "a", RemoteError(name: "ValueError", value: ""), effects: &bench.effects)
    bench.effects.expect("a: ValueError")
    bench.submit("other")
    #expect(bench.state.recovery?.deferred.isEmpty == true)
  }

  @Test("sixty thousand of them are not searched for each task that comes")
  func many() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    let count = 60_000
    func request(_ number: Int, after: MessageID?) -> TaskRequest {
      var request = TaskRequest(id: MessageID("t\(number)"), message: Messages.request(MessageID("t\(number)")))
      if let after { request.after = Dependency([after]) }
      return request
    }
    // A chain whose first link is lost; and as many others that come meanwhile.
    for number in 1..<count {
      bench.state.submit(request(number, after: MessageID("t\(number - 1)")), now: bench.now, effects: &bench.effects)
    }
    #expect(bench.state.keptCount == count - 1 && bench.state.tasks.isEmpty)
    for number in count..<2 * count { bench.state.submit(request(number, after: nil), now: bench.now, effects: &bench.effects) }
    bench.state.submit(request(0, after: nil), now: bench.now, effects: &bench.effects)
    #expect(bench.state.tasks.count == 2 * count && bench.state.recovery?.deferred.isEmpty == true)
  }

  @Test("when they do not come it is told so, and so are others that name it; an abort holds for it")
  func patience() {
    var bench = RecoveryBench()
    bench.restore([], engines: [])
    bench.register("e0")
    bench.submit("b", after: .all("a"))
    bench.submit("c", after: .all("b"))
    bench.submit("d", after: .all("a"))
    bench.state.abort(["d"], now: bench.now, effects: &bench.effects)
    bench.pass(4)
    bench.effects.expect()
    bench.pass(1)
    bench.effects.expect("b: InvalidDependency", "c: ImpossibleDependency", "d: aborted")
    // Who comes to a controller that has been there for long has not lost anything with another.
    bench.pass(60)
    bench.submit("e", after: .all("a"))
    bench.effects.expect("e: InvalidDependency")
    #expect(bench.state.nextDeadline == nil)
  }
}
