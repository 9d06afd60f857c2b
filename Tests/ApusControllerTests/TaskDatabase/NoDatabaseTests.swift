import ApusController
import ApusMessaging
import Testing

@Suite("No database")
struct NoDatabaseTests {
  @Test func questionsAreAnsweredWithNoData() throws {
    let database: any TaskDatabase = NoDatabase()
    #expect(!database.keepsRecords)
    try database.submit(1)
    try database.finish(1)
    for question in [
      { _ = try database.record("x") }, { _ = try database.find(.all) }, { _ = try database.history() },
    ] as [() throws -> Void] {
      let error = #expect(throws: TaskDatabaseError.self) { try question() }
      #expect(error?.code == .noData)
      #expect(error?.reason.contains("--dictdb") == true)
    }
    try database.remove(["x"])
    try database.removeFinished()
    try database.removeFinished(of: "engine")
    try database.flush()
  }
}
