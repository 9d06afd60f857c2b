import ApusEngine
import ApusMessaging
import Testing

@Suite struct AbortStateTests {
  /// What `takes` answers for these ids, in order.
  private func taken(_ ids: [MessageID], from aborts: inout AbortState) -> [Bool] {
    var answers: [Bool] = []
    for id in ids { answers.append(aborts.takes(id)) }
    return answers
  }

  @Test func anIDIsTakenOnce() {
    var aborts = AbortState()
    aborts.abort("a")
    aborts.abort("a")
    let answers = taken(["b", "a", "a"], from: &aborts)
    #expect(answers == [false, true, false])
  }

  @Test func theOldestAreForgotten() {
    var aborts = AbortState(capacity: 3)
    for number in 0..<7 { aborts.abort(MessageID("\(number)")) }
    let answers = taken(["0", "2", "3", "6"], from: &aborts)
    #expect(answers == [false, false, true, true])
  }

  @Test func memoryIsBounded() {
    var aborts = AbortState(capacity: 10)
    for number in 0..<10_000 { aborts.abort(MessageID("\(number)")) }
    var kept: [Int] = []
    for number in 0..<10_000 where aborts.takes(MessageID("\(number)")) { kept.append(number) }
    #expect(kept.count <= 20)
    #expect(kept.last == 9999)
  }

  @Test func everythingIsAWishThatEnds() {
    var aborts = AbortState()
    #expect(!aborts.wantsEverything)
    let nothing = aborts.takeEverything()
    #expect(nothing == nil)
    aborts.abortEverything(until: Timestamp(microseconds: 20))
    aborts.abortEverything(until: Timestamp(microseconds: 10))
    #expect(aborts.wantsEverything)
    let moment = aborts.takeEverything()
    #expect(moment == Timestamp(microseconds: 20))
    #expect(!aborts.wantsEverything)
  }
}
