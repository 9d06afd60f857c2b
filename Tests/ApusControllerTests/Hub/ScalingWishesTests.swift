import ApusMessaging
import Testing

@testable import ApusController

@Suite struct ScalingWishesTests {
  var wishes = ScalingWishes(controller: 7)

  @Test mutating func aNumberAndARestartAreBothHeard() throws {
    try wishes.add(["min": 4, "max": 4])
    try wishes.add(["restart": [0]])
    #expect(wishes.json == [["min": 4, "max": 4, "force": false, "serial": 1], ["restart": [0], "serial": 2]])
    wishes.heard(["controller": 7, "serial": 1])
    #expect(wishes.json == [["restart": [0], "serial": 2]])
    wishes.heard(["controller": 7, "serial": 2])
    #expect(wishes.json == [])
  }

  @Test mutating func aLaterNumberTakesThePlaceOfAnEarlierOne() throws {
    try wishes.add(["min": 4, "max": 4])
    try wishes.add(["min": 1, "max": 2, "force": true])
    #expect(wishes.json == [["min": 1, "max": 2, "force": true, "serial": 2]])
  }

  @Test mutating func restartsAreGathered() throws {
    try wishes.add(["restart": [0, 1]])
    try wishes.add(["restart": [1, 2]])
    #expect(wishes.json == [["restart": [0, 1, 2], "serial": 2]])
    try wishes.add(["restart": "all"])
    try wishes.add(["restart": [3]])
    #expect(wishes.json == [["restart": "all", "serial": 4]])
    // What was heard is not asked for again.
    wishes.heard(["controller": 7, "serial": 4])
    try wishes.add(["restart": [5]])
    #expect(wishes.json == [["restart": [5], "serial": 5]])
  }

  @Test mutating func whatAnotherControllerSaidDoesNotCount() throws {
    try wishes.add(["min": 4, "max": 4])
    wishes.heard(["controller": 6, "serial": 9])
    wishes.heard(.null)
    #expect(wishes.json.arrayValue?.count == 1)
  }

  @Test(
    arguments: [
      JSONValue.int(3), ["min": 3], ["min": 3, "max": 2], ["min": -1, "max": 2], ["min": 0, "max": 100_001], ["restart": "some"],
      ["restart": ["x"]], ["restart": 1],
    ] as [JSONValue]) mutating func nonsenseIsRefused(wish: JSONValue)
  {
    #expect(throws: RemoteError.self) { try wishes.add(wish) }
    #expect(wishes.json == [] && wishes.serial == 0)
  }
}
