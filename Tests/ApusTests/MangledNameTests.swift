import Testing

@testable import ApusTasks

/// The runtime runs any function on any actor: this is what stands before that.
@Suite("Which functions belong to an actor") struct MangledNameTests {
  private let outer = "4Main5OuterC"

  @Test(
    "its own, those of its extensions, private and generic ones",
    arguments: [
      "$s4Main5OuterC4callyyYaKFTE", "$s4Main5OuterC6square1xS2i_tYaKFTE", "$s4Main5OuterC4both_3andSiSi_SitYaKFTE",
      "$s4Main5OuterC4MainE5extrayyYaKFTE", "$s4Main5OuterCAAE5extrayyYaKFTE",
      "$s4Main5OuterC6hidden33_0123456789ABCDEF0123456789ABCDEFLLyyYaKFTE", "$s4Main5OuterC7largestyxSgSayxGYaKSLRzlFTE",
    ])
  func own(_ target: String) {
    #expect(PreparedActorCall.belongs(target, to: outer))
  }

  @Test(
    "not those of types within it, nor of others",
    arguments: [
      "$s4Main5OuterC5InnerC4callyyYaKFTE", "$s4Main5OuterC5InnerV4callyyYaKFTE", "$s4Main5OuterC4KindO4callyyYaKFTE",
      "$s4Main5OuterC4MainE5InnerC4callyyYaKFTE", "$s4Main5OuterCAAE5InnerC4callyyYaKFTE",
      "$s4Main5OuterC5Inner33_0123456789ABCDEF0123456789ABCDEFLLC4callyyYaKFTE", "$s4Main5OuterC05InnerB0C4callyyYaKFTE",
      "$s4Main5OtherC4callyyYaKFTE", "$s4Main5OuterC", "4Main5OuterC4callyyYaKFTE", "",
    ])
  func others(_ target: String) { #expect(!PreparedActorCall.belongs(target, to: outer)) }
}
