import Testing

@testable import ApusController

@Suite struct LookAheadTests {
  private let start = ContinuousClock.now

  private func quick(_ answers: Int, limit: Int = 16) -> LookAhead {
    var ahead = LookAhead(limit: limit)
    ahead.goesOn(0, isBusy: true, now: start)
    for answer in 0..<answers {
      let now = start + .microseconds(100 * answer)
      ahead.answered(0, now: now)
      ahead.goesOn(0, isBusy: true, now: now)
    }
    return ahead
  }

  @Test func quickEnginesGetMoreInAdvance() {
    #expect((0...6).map { quick($0).depth(of: 0, waiting: 1000, engines: 2) } == [0, 1, 2, 4, 8, 16, 16])
    #expect(quick(6).depth(of: 0, waiting: 40, engines: 2) == 5)
    #expect(quick(6).depth(of: 0, waiting: 3, engines: 2) == 1)
    #expect(quick(6).depth(of: 0, waiting: 1, engines: 2) == 0)
    #expect(quick(6).depth(of: 1, waiting: 1000, engines: 2) == 0)
  }

  @Test func slowAnswersHalveItAndALongTaskEndsIt() {
    var ahead = quick(6)
    ahead.answered(0, now: start + .milliseconds(5))
    #expect(ahead.depth(of: 0, waiting: 1000, engines: 1) == 8)
    ahead.answered(0, now: start + .seconds(1))
    #expect(ahead.depth(of: 0, waiting: 1000, engines: 1) == 0)
  }

  @Test func tasksOfSomeMillisecondsWaitForNoMessage() {
    var ahead = LookAhead(limit: 16)
    ahead.goesOn(0, isBusy: true, now: start)
    ahead.answered(0, now: start + .milliseconds(10))
    #expect(ahead.depth(of: 0, waiting: 2, engines: 2) == 1)
    #expect(ahead.depth(of: 0, waiting: 1, engines: 2) == 0)
    ahead.answered(0, now: start + .milliseconds(30))
    #expect(ahead.depth(of: 0, waiting: 2, engines: 2) == 0)
  }

  @Test func restIsNoWork() {
    var ahead = LookAhead(limit: 16)
    ahead.goesOn(0, isBusy: false, now: start)
    ahead.answered(0, now: start + .microseconds(10))
    #expect(ahead.depth(of: 0, waiting: 1000, engines: 1) == 0)
  }

  @Test func noLimitIsNoLookAhead() { #expect(quick(6, limit: 0).depth(of: 0, waiting: 1000, engines: 1) == 0) }
}
