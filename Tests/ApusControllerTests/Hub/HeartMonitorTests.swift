import ApusMessaging
import Testing

@testable import ApusController

private struct HeartRecorder: HeartMonitorEffects {
  var messages: [String] = []
  var lastPing = ""
  mutating func ping(_ text: String) { lastPing = text }
  mutating func heartStarted(_ engine: EngineUUID) { messages.append("\(engine) beats") }
  mutating func heartStopped(_ engine: EngineUUID) { messages.append("\(engine) stopped") }
  mutating func expect(_ expected: String..., at location: SourceLocation = #_sourceLocation) {
    #expect(messages == expected, sourceLocation: location)
    messages = []
  }
}

@Suite("Heart monitor")
struct HeartMonitorTests {
  private struct Bench {
    var state: HeartMonitorState
    var recorder = HeartRecorder()
    var now = ContinuousClock.now

    init(misses: Int = 3) { state = HeartMonitorState(maximumMisses: misses, now: now) }

    mutating func beat() {
      now += .seconds(3)
      state.beat(now: now, effects: &recorder)
    }

    mutating func pong(
      _ engine: EngineUUID, _ text: String? = nil, counts: Bool = true, at location: SourceLocation = #_sourceLocation
    ) {
      let didCount = state.pong(text ?? recorder.lastPing, from: engine, now: now, effects: &recorder)
      #expect(didCount == counts, sourceLocation: location)
    }
  }

  @Test("pings are the decimal text of a float: seconds since the start")
  func pings() {
    var bench = Bench()
    bench.beat()
    #expect(bench.recorder.lastPing == "3.0")
    bench.now += .microseconds(1500)
    bench.beat()
    #expect(Double(bench.recorder.lastPing).map { abs($0 - 6.0015) < 1e-9 } == true)
  }

  @Test("an engine that answers is told of once")
  func starts() {
    var bench = Bench()
    bench.beat()
    bench.pong("a", counts: true)
    bench.recorder.expect("a beats")
    bench.pong("a", counts: true)
    let heard = bench.now
    #expect(bench.state.lastHeard("a") == heard && bench.state.lastHeard("b") == nil)
    bench.beat()
    #expect(bench.state.lastHeard("a") == heard)
    for _ in 0..<10 {
      bench.beat()
      bench.pong("a")
    }
    bench.recorder.expect()
    #expect(bench.state.count == 1)
  }

  @Test("one more than so many misses in a row is the end; an answer in between starts over", arguments: [0, 1, 3])
  func misses(maximum: Int) {
    var bench = Bench(misses: maximum)
    bench.beat()
    bench.pong("a")
    bench.pong("b")
    bench.beat()
    bench.recorder.expect("a beats", "b beats")
    bench.pong("b")
    // This beat sees that a has not answered: the first miss.
    for _ in 0..<maximum {
      bench.beat()
      bench.pong("b")
      bench.recorder.expect()
    }
    bench.beat()
    bench.recorder.expect("a stopped")
    #expect(bench.state.count == 1)
    bench.beat()
    #expect(bench.recorder.messages == (maximum == 0 ? ["b stopped"] : []))
  }

  @Test("the last two pings count, older ones and others do not")
  func lastTwo() {
    var bench = Bench()
    bench.pong("a", "", counts: false)
    bench.beat()
    let first = bench.recorder.lastPing
    bench.beat()
    let second = bench.recorder.lastPing
    bench.beat()
    bench.pong("a", first, counts: false)
    bench.pong("a", "", counts: false)
    bench.pong("a", "nonsense", counts: false)
    bench.recorder.expect()
    bench.pong("a", second, counts: true)
    bench.recorder.expect("a beats")
    bench.pong("a", counts: true)
  }

  @Test("an engine that stopped may start again")
  func returns() {
    var bench = Bench(misses: 1)
    bench.beat()
    bench.pong("a")
    for _ in 0..<3 { bench.beat() }
    bench.recorder.expect("a beats", "a stopped")
    bench.pong("a")
    bench.recorder.expect("a beats")
  }

  @Test("who is forgotten begins anew and is not told of as stopped")
  func forgotten() {
    var bench = Bench(misses: 1)
    bench.beat()
    bench.pong("a")
    let wasKnown = bench.state.forget("a")
    let isStillKnown = bench.state.forget("a")
    #expect(wasKnown && !isStillKnown)
    for _ in 0..<5 { bench.beat() }
    bench.recorder.expect("a beats")
    bench.pong("a")
    bench.recorder.expect("a beats")
  }

  @Test("pinging again says the present ping once more, and nothing before the first")
  func again() {
    var bench = Bench()
    bench.state.pingAgain(effects: &bench.recorder)
    #expect(bench.recorder.lastPing == "")
    bench.beat()
    let ping = bench.recorder.lastPing
    bench.recorder.lastPing = ""
    bench.state.pingAgain(effects: &bench.recorder)
    #expect(bench.recorder.lastPing == ping)
  }
}
