import ApusMessaging
import Testing
import Transport

@testable import ApusClient

@Suite struct WelcomesTests {
  private func welcomes() -> Welcomes { Welcomes(signer: Signer(key: Array("key".utf8)), session: SessionID("session")) }

  @Test("it asks once about all that was subscribed to, and only where the controller answers")
  func asks() throws {
    var welcomes = welcomes()
    welcomes.subscribed()
    let early = welcomes.next()
    #expect(early == nil && welcomes.unanswered == nil)
    welcomes.areGiven = true
    welcomes.subscribed()
    let (first, again) = (welcomes.next(), welcomes.next())
    let topic = Frame(try #require(first))
    #expect(again == nil && welcomes.unanswered == 1 && !welcomes.hasCome(1))
    let others = [welcomes.came(Frame("something else")), welcomes.came(topic), welcomes.came(topic)]
    #expect(others == [false, true, false])
    #expect(welcomes.unanswered == nil && welcomes.hasCome(1))
  }

  @Test("an answer is one to all questions before it, and to none behind it")
  func inOrder() throws {
    var welcomes = welcomes()
    welcomes.areGiven = true
    var topics: [Frame] = []
    for _ in 0..<3 {
      welcomes.subscribed()
      let next = welcomes.next()
      topics.append(Frame(try #require(next)))
    }
    #expect(Set(topics).count == 3)
    let second = welcomes.came(topics[1])
    #expect(second && welcomes.hasCome(2) && !welcomes.hasCome(3) && welcomes.unanswered == 3)
    welcomes.giveUp()
    #expect(welcomes.hasCome(3) && !welcomes.areGiven && welcomes.unanswered == nil)
    let late = [welcomes.came(topics[2]), welcomes.came(topics[2])]
    #expect(late == [true, false] && welcomes.areGiven && !welcomes.isAwaited)
  }
}
