import ApusCluster
import Testing

@Suite struct TargetExpressionTests {
  private let registered = [0, 1, 3, 4, 7]

  @Test(arguments: [
    ("all", [0, 1, 3, 4, 7]), ("3", [3]), ("7,0", [7, 0]), ("1, 3,1", [1, 3]), (":", [0, 1, 3, 4, 7]), ("1:3", [1, 3]),
    ("0:4:2", [0, 3]), ("::2", [0, 3, 7]), ("-2:", [4, 7]), (":-3", [0, 1]), ("::-1", [7, 4, 3, 1, 0]), ("3:0:-2", [4, 1]),
    ("2:100", [3, 4, 7]), ("-100:2", [0, 1]), ("0:9223372036854775807:9223372036854775807", [0]),
    ("-9223372036854775808:", [0, 1, 3, 4, 7]), ("::-9223372036854775808", [7]),
  ])
  func selectsAsPythonSlices(_ text: String, _ expected: [Int]) throws {
    #expect(try TargetExpression(text).select(among: registered) == expected)
  }

  @Test(arguments: ["", "x", "1,", ",", "1;2", "1:2:3:4", "a:", "-1", "1.5", "0,-2", "::0", "99999999999999999999"])
  func refusesWithAnExample(_ text: String) throws {
    let error = try #require(throws: ClusterError.self) { try TargetExpression(text) }
    #expect(error.exitCode == .usage)
    #expect(error.advice?.isEmpty == false)
  }

  @Test func namesTheEnginesThatThereAre() throws {
    let unknown = try #require(throws: ClusterError.self) { try TargetExpression("2").select(among: registered) }
    #expect(unknown.exitCode == .missing)
    #expect(unknown.reason == "engine 2 is not registered")
    #expect(unknown.advice?.contains("0, 1, 3, 4, 7") == true)
    let empty = try #require(throws: ClusterError.self) { try TargetExpression("5:").select(among: registered) }
    #expect(empty.exitCode == .missing)
    let nobody = try #require(throws: ClusterError.self) { try TargetExpression("all").select(among: []) }
    #expect(nobody.advice?.contains("apus engines") == true)
    let many = try #require(throws: ClusterError.self) { try TargetExpression("1000").select(among: Array(0..<500)) }
    #expect(many.advice?.contains("500 in all") == true)
  }
}
