import Testing

@testable import ApusController

@Suite("Messages that wait for the disk")
struct HeldMessagesTests {
  private func hold(
    _ held: inout HeldMessages<String>, _ messages: [String], until ticket: Int, isHeld: Bool,
    at location: SourceLocation = #_sourceLocation
  ) {
    var messages = messages
    let found = held.hold(&messages, until: ticket)
    #expect(found == isHeld && messages.isEmpty == isHeld, sourceLocation: location)
  }

  private func expect(_ found: [[String]], _ expected: [[String]], at location: SourceLocation = #_sourceLocation) {
    #expect(found == expected, sourceLocation: location)
  }

  @Test("they leave when what they follow from is written, turn by turn")
  func order() {
    var held = HeldMessages<String>()
    hold(&held, ["a"], until: 1, isHeld: true)
    hold(&held, ["b", "c"], until: 2, isHeld: true)
    expect(held.release(1), [["a"]])
    expect(held.release(2), [["b", "c"]])
    hold(&held, ["d"], until: 2, isHeld: false)
    #expect(held.count == 0)
  }

  /// Found by the simulation: a client was told that a result was lost, and then the result.
  @Test("none overtakes those before it when nothing is written any more")
  func suspended() {
    var held = HeldMessages<String>()
    hold(&held, ["a"], until: 1, isHeld: true)
    // Nothing is written: such turns have no ticket.
    hold(&held, ["b"], until: 0, isHeld: true)
    expect(held.release(.max), [["a"], ["b"]])
    hold(&held, ["c"], until: 0, isHeld: false)
    hold(&held, ["d"], until: 2, isHeld: true)
  }
}
