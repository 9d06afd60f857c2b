import ApusController
import ApusMessaging
import Foundation

/// Every database that keeps records, in the states in which its answers come by different ways.
enum DatabaseKind: String, CaseIterable, Sendable {
  case memory
  /// Everything still waits in memory.
  case sqlitePending
  /// Everything is written.
  case sqliteFlushed
  /// Written, closed, and opened again.
  case sqliteReopened
}

/// A database with its file, which is removed at the end.
final class DatabaseUnderTest {
  private(set) var database: any TaskDatabase
  let kind: DatabaseKind
  let directory: URL

  init(_ kind: DatabaseKind) throws {
    self.kind = kind
    directory = try temporaryDirectory()
    database = kind == .memory ? MemoryDatabase() : try SQLiteDatabase(.init(path: directory.path + "/tasks.db"))
  }

  deinit { try? FileManager.default.removeItem(at: directory) }

  /// Brings the database into the state that its kind is about.
  func settle() throws {
    switch kind {
    case .memory, .sqlitePending: break
    case .sqliteFlushed: try database.flush()
    case .sqliteReopened:
      try database.flush()
      database = try SQLiteDatabase(.init(path: directory.path + "/tasks.db"))
    }
  }
}

func temporaryDirectory() throws -> URL {
  let url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  return url
}
