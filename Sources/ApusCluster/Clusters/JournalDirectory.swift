import ApusMessaging
import Glibc

/// Where a controller keeps its journal, for those who have no controller to ask: launchers, `stop`, `clean`.
public struct JournalDirectory: Sendable, Hashable {
  public let path: String

  public init(_ profile: ProfileDirectory, clusterID: String) { path = profile.journal(clusterID: clusterID) }
  private init(path: String) { self.path = path }

  /// Whether a controller has left it that has not ended in order, or keeps it still.
  var isThere: Bool { FileSystem.exists(Path.join(path, "id")) }

  /// All of a profile, those that were set aside too.
  public static func all(in profile: ProfileDirectory) -> [JournalDirectory] {
    FileSystem.entries(of: profile.location)
      .filter { $0 == "journal" || $0.hasPrefix("journal-") || $0.hasPrefix("journal.aside-") }
      .map { JournalDirectory(path: Path.join(profile.location, $0)) }.filter { FileSystem.isDirectory($0.path) && $0.hasOnlyOwn }
  }

  /// Whether all that is there was written by a controller: somebody may have a directory of such a name.
  private var hasOnlyOwn: Bool {
    FileSystem.entries(of: path).allSatisfy(Self.isOwn)
  }

  private static func isOwn(_ name: String) -> Bool {
    let stem = name.hasSuffix(".new") ? String(name.prefix { $0 != "." }) : name
    let number = name.dropLast(4).utf8
    let isSegment = name.hasSuffix(".log") && number.count >= 8 && number.allSatisfy { (48...57).contains($0) }
    return isSegment || JournalBeginning.isPutAside(name)
      || ["id", JournalBeginning.attemptsName, "beginning", JournalBeginning.fileName].contains(stem)
  }

  /// For people: how large it is, and where.
  public var sentence: String { JournalReport(directory: path).sentence }

  /// Whoever began to read it last was asked to end, and did not die of it.
  func forgetAttempts() { FileSystem.remove(Path.join(path, JournalBeginning.attemptsName)) }

  /// Removes what a controller has written.
  /// - Returns: whether nothing is left.
  @discardableResult
  public func remove() -> Bool {
    for name in FileSystem.entries(of: path) where Self.isOwn(name) {
      let inner = Path.join(path, name)
      if !FileSystem.remove(inner) { rmdir(inner) }
    }
    return rmdir(path) == 0 || errno == ENOENT
  }
}
