import ApusMessaging
import Testing

@Suite struct OutputWelcomeTests {
  private let names = OutputWelcome(signer: Signer(key: Array("key".utf8)))

  @Test("only who has the key is answered, and nothing but such a question is one")
  func signed() {
    let topic = names.topic(of: SessionID("session"), 3)
    #expect(topic.hasPrefix("welcome.apus.session.3."))
    #expect(names.isAsked(by: topic))
    #expect(!OutputWelcome(signer: Signer(key: Array("another".utf8))).isAsked(by: topic))
    for wrong in [
      "", "welcome.apus.", "welcome.apus.session.3.", topic + "0", String(topic.dropLast()), "engine.0.status", "x" + topic,
    ] {
      #expect(!names.isAsked(by: wrong))
    }
    let long = names.topic(of: SessionID(String(repeating: "s", count: 300)), 1)
    #expect(!names.isAsked(by: long))
  }

  @Test("without a key everybody is answered, as everything is")
  func unsigned() {
    let names = OutputWelcome(signer: Signer(key: []))
    #expect(names.isAsked(by: names.topic(of: SessionID("session"), 1)))
  }
}
