/// What a controller has found in its journal when it began, for whoever started it: `beginning.json` beside the segments.
public struct JournalBeginning: Sendable, Hashable {
  public static let fileName = "beginning.json"
  /// Has a byte for each controller that began to read the journal, and did not come to the end of that.
  public static let attemptsName = "attempts"
  /// Ends the names of segments that could not be read, and that nobody reads any more: `00000003.damaged`.
  public static let damagedSuffix = ".damaged"

  /// Whether it is the name of such a segment, which may have a number of its own: `00000003-2.damaged`.
  public static func isPutAside(_ name: String) -> Bool {
    guard name.hasSuffix(damagedSuffix) else { return false }
    let numbers = name.utf8.dropLast(damagedSuffix.utf8.count).split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
    return (1...2).contains(numbers.count) && numbers[0].count >= 8
      && numbers.allSatisfy { !$0.isEmpty && $0.allSatisfy { (48...57).contains($0) } }
  }

  /// Tasks of the controller before that had not ended: they go on.
  public var tasks = 0
  /// When that one wrote for the last time.
  public var lastWritten: Timestamp?
  /// Sentences about what of it could not be read.
  public var damages: [String] = []
  /// Where a journal is now that could not be begun with, and why.
  public var setAside: (path: String, reason: String)? { path.map { ($0, reason) } }
  private var path: String?
  private var reason = ""

  public init() {}

  public mutating func isSetAside(at path: String, because reason: String) { (self.path, self.reason) = (path, reason) }

  /// - Parameter directory: of the journal.
  /// - Returns: `nil` where the controller has found none, or does not say so.
  public init?(in directory: String) {
    guard let bytes = try? AtomicFile.read("\(directory)/\(Self.fileName)"), let json = try? JSONValue(parsing: bytes) else {
      return nil
    }
    tasks = max(0, json["tasks"]?.intValue ?? 0)
    lastWritten = json["last_written_us"]?.intValue.map { Timestamp(microseconds: $0) }
    damages = json["damages"]?.stringArrayValue ?? []
    path = json["set_aside"]?.stringValue
    reason = json["reason"]?.stringValue ?? ""
  }

  public func write(in directory: String) throws(FileError) {
    let json: JSONValue = [
      "tasks": .int(tasks), "last_written_us": lastWritten.map { .int($0.microseconds) } ?? .null,
      "damages": JSONValue(damages), "set_aside": path.map { .string($0) } ?? .null, "reason": .string(reason),
    ]
    try AtomicFile.write(json.encoded(), to: "\(directory)/\(Self.fileName)", flushed: false)
  }

  /// For whoever starts the cluster; warnings are about what is lost.
  public func sentences(_ directory: String) -> [(isWarning: Bool, text: String)] {
    var sentences: [(isWarning: Bool, text: String)] = []
    if let path {
      sentences.append(
        (
          true,
          "the journal of the controller before is set aside, and its tasks do not go on: \(reason)\nIt is \(path) now; 'apus clean' removes it"
        ))
    }
    let written = lastWritten.map { ", last written \($0.description.prefix(19).replacing("T", with: " ")) UTC" } ?? ""
    if tasks > 0 {
      sentences.append(
        (false, "resumes \(tasks) \(tasks == 1 ? "task" : "tasks") of the controller before (journal \(directory)\(written))"))
    }
    if !damages.isEmpty {
      let more = damages.count > 3 ? "\nand \(damages.count - 3) more of the kind, in the controller's log" : ""
      let kept =
        "\nWhen the rest is written anew, damaged segments will be kept as \(directory)/*\(Self.damagedSuffix) until the cluster ends in order"
      sentences.append((true, "the journal was damaged:\n" + damages.prefix(3).joined(separator: "\n") + more + kept))
    }
    return sentences
  }
}
