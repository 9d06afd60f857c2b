import Testing

@testable import Transport

@Suite("Freed memory that rests") struct RestingMemoryTests {
  private let much = RestingMemory.worthwhile + 1
  private let start = ContinuousClock.now

  @Test("what was kept at two looks is given back, and what came between them is not") func twoLooks() {
    var memory = RestingMemory()
    var now = start
    func given(_ bytes: Int) -> Bool {
      now += .seconds(10)
      return memory.look(at: bytes, now)
    }
    let steps: [(kept: Int, isGivenBack: Bool, why: Comment)] = [
      (0, false, "nothing"), (much, false, "freed since the last look"), (2 * much, true, "half of it has rested"),
      (much, false, "freed since it was given back"), (RestingMemory.worthwhile, false, "used again, all but a little"),
      (much, false, "a little has rested"), (much, true, "all has rested"),
    ]
    for step in steps {
      let isGivenBack = given(step.kept)
      #expect(isGivenBack == step.isGivenBack, step.why)
    }
  }

  @Test("the loops of a process share the looks of a period") func severalLoops() {
    var memory = RestingMemory()
    #expect(memory.isDue(start))
    _ = memory.look(at: much, start)
    for offset in [Duration.zero, .milliseconds(1), .seconds(5), .milliseconds(9_999)] { #expect(!memory.isDue(start + offset)) }
    #expect(memory.isDue(start + .seconds(10)))
  }
}
