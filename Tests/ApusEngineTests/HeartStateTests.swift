@testable import ApusEngine
import Testing

@Suite struct HeartStateTests {
  /// Checks in a row; a ping comes before those whose index is given.
  private func verdicts(_ count: Int, limit: Int, pingsBefore pinged: Set<Int> = []) -> [HeartState.Verdict] {
    var heart = HeartState(limit: limit)
    return (0..<count).map { index in
      if pinged.contains(index) {
        heart.pinged()
        heart.pinged()
      }
      return heart.check()
    }
  }

  @Test func beatsAsLongAsItIsPinged() {
    let found = verdicts(10, limit: 2, pingsBefore: Set(0..<10))
    #expect(found == Array(repeating: .beating, count: 10))
  }

  @Test func givesUpAfterTheLimitInARow() {
    let found = verdicts(7, limit: 3, pingsBefore: [3])
    #expect(found == [.beating, .missed(1), .missed(2), .beating, .missed(1), .missed(2), .silent(3)])
  }

  @Test func withoutALimitItNeverGivesUp() {
    let found = verdicts(1001, limit: 0)
    #expect(found == [.beating] + (1...1000).map { .missed($0) })
  }

  @Test func aNewControllerGetsTheFullPatience() {
    var heart = HeartState(limit: 2)
    let before = [heart.check(), heart.check()]
    heart.reset()
    let after = [heart.check(), heart.check(), heart.check()]
    #expect(before == [.beating, .missed(1)])
    #expect(after == [.beating, .missed(1), .silent(2)])
  }
}
