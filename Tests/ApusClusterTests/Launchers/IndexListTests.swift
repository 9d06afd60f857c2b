import Testing

@testable import ApusCluster

@Suite struct IndexListTests {
  @Test(arguments: [
    ("3", [3]), ("0-2,5", [0, 1, 2, 5]), ("4-20:4", [4, 8]), ("1,3", [1, 3]), ("", []), ("x-y", []), ("5-2", []), ("7-", [7]),
    ("3:0", []),
    ("1-9:-2", []),
  ])
  func numbers(list: String, expected: [Int]) { #expect(IndexList.numbers(list, within: 0..<10) == expected) }

  @Test(arguments: [
    "0-9223372036854775807", "1-999999999999:1", "0-999999,0-999999,0-999999", "99999999999999999999999",
    "0-9223372036854775807:9223372036854775807",
    "9223372036854775806-9223372036854775807:9223372036854775807",
  ])
  func hugeRangesCostNothing(list: String) {
    #expect(IndexList.numbers(list, within: 2..<4).count <= 6)
    #expect(IndexList.numbers(list, within: 2..<4).allSatisfy { (2..<4).contains($0) })
  }

  @Test func aStepIsKeptFromWhereTheRangeBegins() { #expect(IndexList.numbers("1-30:4", within: 10..<20) == [13, 17]) }
}
