import ApusMessaging
import Testing
import Transport

@testable import ApusClient

@Suite("Client: requests that have not left") struct UnsentRequestsTests {
  /// It would be run for a client that has been told that it is lost.
  @Test(arguments: [false, true]) func whatHasNotLeftIsNotLostWithAConnection(isRestarted: Bool) {
    var bench = ClientBench()
    let (e0, e1) = (bench.engine(0), bench.engine(1))
    let hub = SessionID(isRestarted ? "other" : "h")
    bench.step { $0.engines([e0, e1], asOf: 0, hub: SessionID("h"), journal: "j", isOwn: true, effects: &$1) }
    for route in [.direct(e0), .direct(e0), .coalescing([e0]), .broadcast([e0, e1])] as [Request.Route] { bench.submit(route) }
    bench.submit(.direct(e0))
    bench.effects.forget()
    let waiting = [1, 3].compactMap { bench.effects.sent[$0] }
    bench.step { $0.connectionBroke(.direct, taking: waiting, effects: &$1) }
    bench.step { $0.connectionBroke(.broadcast, taking: waiting, effects: &$1) }
    bench.effects.expect("ask 3", "ask 4")
    // What comes now waits as well; balanced tasks have another way.
    let (late, unwanted) = (bench.submit(.direct(e0)), bench.submit(.direct(e1)))
    bench.submit(.balanced)
    let gone = bench.submit(.direct(e1))
    bench.abort(unwanted)
    bench.effects.expect("send 9")
    // An answer from before says nothing of who is there now.
    if !isRestarted {
      bench.step { $0.engines([e0, e1], asOf: 3, hub: SessionID("h"), journal: "j", isOwn: true, effects: &$1) }
      bench.effects.expect("0: controllerLost", "0: silent", "2: controllerLost", "2: silent", "6: controllerLost", "6: silent")
      bench.lose(1)
      bench.effects.expect(
        "-1", "5: EngineError", "5: silent", "\(unwanted.raw): EngineError", "\(unwanted.raw): silent", "\(gone.raw): EngineError",
        "\(gone.raw): silent")
      bench.step { $0.engines([e0], asOf: 5, hub: hub, journal: "j", isOwn: true, effects: &$1) }
      bench.effects.expect("send 1", "send 3", "send \(late.raw)")
    } else {
      bench.step { $0.engines([e0, e1], asOf: 4, hub: hub, journal: "j", isOwn: true, effects: &$1) }
      bench.effects.expect(
        "0: controllerLost", "0: silent", "2: controllerLost", "2: silent", "6: controllerLost", "6: silent", "resume 9", "send 1",
        "send 3", "send \(late.raw)", "send \(unwanted.raw)", "send \(gone.raw)", "abort \(unwanted.raw) on 1")
      bench.reply(TaskNumber(raw: 3), share: 1)
      bench.effects.expect("5: ok", "5: silent")
      bench.reply(unwanted, status: "aborted")
      bench.reply(gone)
      bench.reply(TaskNumber(raw: 9))
      bench.effects.forget()
    }
    bench.reply(TaskNumber(raw: 1))
    bench.reply(TaskNumber(raw: 3), share: 0)
    bench.reply(late)
    bench.effects.expect("1: ok", "1: silent", "4: ok", "4: silent", "\(late.raw): ok", "\(late.raw): silent")
    // What waits by another way is not lost either.
    let (sent, spared) = (bench.submit(.direct(e0)), bench.submit(.direct(e0)))
    bench.effects.forget()
    let others = [spared.raw].compactMap { bench.effects.sent[$0] }
    bench.step { $0.connectionBroke(.direct, sparing: others, effects: &$1) }
    bench.effects.forget()
    bench.step { [asked = bench.state.serial] in $0.engines([e0], asOf: asked, hub: hub, journal: "j", isOwn: true, effects: &$1) }
    if isRestarted { bench.lose(1) }
    #expect(bench.effects.ends[sent] == 1 && bench.effects.ends[spared] == nil)
    bench.submit(.direct(e0))
    #expect(bench.effects.lines.last?.hasPrefix("send") ?? false)
  }
}
