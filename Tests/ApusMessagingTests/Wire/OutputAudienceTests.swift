import Testing

@testable import ApusMessaging

@Suite struct OutputAudienceTests {
  @Test(arguments: [
    ("", true), ("eng", true), ("engine.", true), ("engine.12", true), ("engine.3.", true), ("engine.3.st", true),
    ("engine.3.status", true),
    ("engine.3.stdout", false), ("engine.3.statusbar", false), ("engines", false), ("engine.x", false), ("datapub", false),
  ])
  func whichTopicsHearStatus(_ topic: String, _ hears: Bool) {
    var audience = OutputAudience()
    #expect(!audience.wantsStatus)
    audience.heard(topic, isSubscription: true)
    #expect(audience.wantsStatus == hears)
    audience.heard(topic, isSubscription: false)
    #expect(!audience.wantsStatus)
  }
}
