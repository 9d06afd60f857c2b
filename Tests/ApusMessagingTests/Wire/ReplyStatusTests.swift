import ApusMessaging
import Testing
import Transport

@Suite("The status of a reply") struct ReplyStatusTests {
  static let cases: [(JSONValue, JSONValue, ReplyStatus)] = [
    (["status": "ok"], ["status": "ok"], .ok),
    // Whichever is there.
    (["status": "ok"], [:], .ok), ([:], ["status": "ok"], .ok), (["status": "error"], [:], .error),
    ([:], ["status": "aborted"], .aborted),
    // They contradict each other: it did not succeed.
    (["status": "ok"], ["status": "error"], .error), (["status": "error"], ["status": "ok"], .error),
    (["status": "ok"], ["status": "aborted"], .aborted), (["status": "aborted"], ["status": "error"], .aborted),
    ([:], [:], .error), (["status": "strange"], ["status": "ok"], .error),
  ]

  @Test("one answer for everybody", arguments: cases.indices)
  func status(_ index: Int) {
    let (metadata, content, status) = Self.cases[index]
    var session = Session(key: "k")
    #expect(session.message("apply_reply", content: content, metadata: metadata).replyStatus == status)
  }
}
