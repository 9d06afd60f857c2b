import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Output for clients that are about to listen") struct AwaitedReadersTests {
  private let start = ContinuousClock.now
  private func message(_ text: String) -> [Frame] { [Frame(text)] }
  private func texts(_ messages: [[Frame]]) -> [String] { messages.map { $0[0].text } }

  @Test("it waits in its order until the client has subscribed; what is for others does not")
  func waits() {
    var readers = AwaitedReaders()
    readers.expect(SessionID("late"), now: start)
    #expect(readers.pass(message("1"), for: SessionID("late")).isEmpty)
    #expect(texts(readers.pass(message("other"), for: SessionID("other"))) == ["other"])
    #expect(texts(readers.pass(message("nobody's"), for: nil)) == ["nobody's"])
    #expect(readers.pass(message("2"), for: SessionID("late")).isEmpty)
    #expect(readers.held == (2, 2))
    #expect(texts(readers.subscribed()) == ["1", "2"])
    #expect(readers.isEmpty && readers.held == (0, 0))
    #expect(texts(readers.pass(message("3"), for: SessionID("late"))) == ["3"])
  }

  @Test("of several that come at once, nobody knows whose subscription it is: all are waited for")
  func several() {
    var readers = AwaitedReaders()
    readers.expect(SessionID("a"), now: start)
    readers.expect(SessionID("b"), now: start)
    readers.expect(SessionID("a"), now: start)
    _ = readers.pass(message("for a"), for: SessionID("a"))
    _ = readers.pass(message("for b"), for: SessionID("b"))
    #expect(readers.subscribed().isEmpty)
    #expect(texts(readers.subscribed()) == ["for a", "for b"])
  }

  @Test("whoever does not subscribe gets what is for it after a while, and does not release others")
  func expires() {
    var readers = AwaitedReaders()
    readers.expect(SessionID("deaf"), now: start)
    readers.expect(SessionID("late"), now: start + .seconds(1))
    _ = readers.pass(message("for deaf"), for: SessionID("deaf"))
    _ = readers.pass(message("for late"), for: SessionID("late"))
    #expect(readers.subscribed().isEmpty)
    #expect(readers.expire(now: start + AwaitedReaders.patience - .milliseconds(1)).isEmpty)
    #expect(readers.nextDeadline == start + AwaitedReaders.patience)
    // The subscription that came may have been its own.
    #expect(texts(readers.expire(now: start + AwaitedReaders.patience)) == ["for deaf"])
    #expect(readers.nextDeadline == start + .seconds(1) + AwaitedReaders.patience)
    #expect(texts(readers.subscribed()) == ["for late"])
    #expect(readers.isEmpty && readers.nextDeadline == nil)
    // A subscription of before is not that of the next client.
    readers.expect(SessionID("next"), now: start)
    _ = readers.pass(message("for next"), for: SessionID("next"))
    #expect(texts(readers.subscribed()) == ["for next"])
  }

  @Test("one that goes is not waited for: what is for it goes out, and another waits for a subscription of its own")
  func gone() {
    var readers = AwaitedReaders()
    readers.expect(SessionID("looks"), now: start)
    readers.expect(SessionID("late"), now: start)
    _ = readers.pass(message("for looks"), for: SessionID("looks"))
    _ = readers.pass(message("for late"), for: SessionID("late"))
    #expect(readers.forget(SessionID("unknown")).isEmpty)
    #expect(texts(readers.forget(SessionID("looks"))) == ["for looks"])
    #expect(readers.held == (1, 8))
    #expect(texts(readers.subscribed()) == ["for late"])
    #expect(readers.forget(SessionID("late")).isEmpty && readers.held == (0, 0))
  }

  @Test("what waits is bounded: beyond that all of it goes out, in its order")
  func bounded() {
    var readers = AwaitedReaders()
    readers.expect(SessionID("late"), now: start)
    for number in 0..<AwaitedReaders.mostMessages { #expect(readers.pass(message("\(number)"), for: SessionID("late")).isEmpty) }
    let all = readers.pass(message("last"), for: SessionID("late"))
    #expect(all.count == AwaitedReaders.mostMessages + 1 && all.last?[0].text == "last")
    #expect(readers.isEmpty && readers.held == (0, 0))
    readers.expect(SessionID("large"), now: start)
    let large = [Frame([UInt8](repeating: 0, count: AwaitedReaders.mostBytes))]
    #expect(readers.pass(large, for: SessionID("large")).isEmpty)
    #expect(readers.pass(message("more"), for: SessionID("large")).count == 2)
    for number in 0..<2 * AwaitedReaders.mostClients { readers.expect(SessionID("\(number)"), now: start) }
    #expect(texts(readers.pass(message("x"), for: SessionID("\(AwaitedReaders.mostClients)"))) == ["x"])
  }
}
