import ApusMessaging
import Glibc
import Transport

/// The segments of a journal in their directory: `00000001.log` and so on, and `id`, which names the journal.
///
/// Not `Sendable`: lives where the journal writes.
final class JournalFiles: JournalStorage {
  let directory: String
  private var descriptor: Int32 = -1
  /// The one that is written.
  private(set) var number: Int
  private(set) var bytes = 0
  /// Something was appended since the last sync.
  private(set) var isDirty = false
  /// The directory's entry of the present segment is on the disk.
  private(set) var isNamed = false
  /// Segments that are written no more, the oldest first.
  private(set) var closed: [(number: Int, bytes: Int)] = []
  /// The last one that was there before.
  private let former: Int
  /// Those of them that could not be read, as a whole or in parts, until they are put aside; `nil` where nothing is damaged.
  private var damaged: [String]?
  /// Bytes that the segments may have together: where they would be more, it is as if the disk were full.
  private let limit: Int

  /// - Parameter damaged: as of `Restorer.Restored`.
  init(directory: String, limit: Int, damaged: [String]? = nil) {
    self.directory = directory
    self.limit = limit
    self.damaged = damaged
    closed = Self.segments(in: directory)
    number = closed.last?.number ?? 0
    former = number
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  var totalBytes: Int { bytes + closed.reduce(0) { $0 + $1.bytes } }

  // MARK: reading

  static func segments(in directory: String) -> [(number: Int, bytes: Int)] {
    DirectoryListing.names(in: directory).compactMap { name in
      // By their own names only, and with numbers that others can follow: whatever else lies there is somebody else's.
      guard name.hasSuffix(".log"), let number = Int(name.dropLast(4)), (1...largestNumber).contains(number),
        path(number, in: directory) == "\(directory)/\(name)"
      else { return nil }
      var status = stat()
      // What cannot be looked at is missed by who reads it.
      guard stat("\(directory)/\(name)", &status) == 0 || errno != ENOENT else { return nil }
      return (number, Int(status.st_size))
    }.sorted { $0.number < $1.number }
  }

  private static let largestNumber = 1 << 50

  static func path(_ number: Int, in directory: String) -> String {
    let digits = String(number)
    return "\(directory)/\(String(repeating: "0", count: max(0, 8 - digits.count)))\(digits).log"
  }

  /// Whether the controller that wrote there has not ended in order: the name of its journal is left.
  static func wasCutShort(_ directory: String) -> Bool { access("\(directory)/id", F_OK) == 0 }

  /// The journal's name, made where there is none: clients that come back know by it that it is theirs.
  static func id(in directory: String) throws(FileError) -> String {
    if mkdir(directory, 0o700) != 0, errno != EEXIST { throw FileError(path: directory, action: "make", code: errno) }
    let path = "\(directory)/id"
    if let bytes = try? AtomicFile.read(path) {
      let id = String(decoding: bytes, as: UTF8.self)
      if !id.isEmpty, id.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) { return id }
    }
    let id = SessionID.random().text
    try AtomicFile.write(Array(id.utf8), to: path)
    try syncDirectory(directory)
    try syncDirectory("\(directory)/..")
    return id
  }

  // MARK: writing

  /// Ends the segment that is written, and begins another.
  /// - Parameter isSynced: whether what is in the one that ends is to be on the disk first: nobody syncs it later.
  func beginSegment(isSynced: Bool = true) throws(FileError) {
    if isSynced, isDirty { try sync() }
    endSegment()
    let path = Self.path(number + 1, in: directory)
    let opened = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o600)
    guard opened >= 0 else { throw FileError(path: path, action: "write", code: errno) }
    descriptor = opened
    number += 1
    bytes = 0
    isNamed = false
  }

  private func endSegment() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    closed.append((number, bytes))
    bytes = 0
    isDirty = false
  }

  /// - Throws: nothing of it counts then, and the segment is not to be written any more.
  func append(_ block: [UInt8]) throws(FileError) {
    let path = Self.path(number, in: directory)
    guard totalBytes + block.count <= limit else {
      throw FileError(path: path, action: "write more within the limit to", code: ENOSPC)
    }
    isDirty = true
    var written = 0
    while written < block.count {
      let count = block.withUnsafeBytes { buffer in
        buffer.baseAddress.map { write(descriptor, $0 + written, buffer.count - written) } ?? 0
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FileError(path: path, action: "write", code: count == 0 ? EIO : errno) }
      written += count
    }
    bytes += block.count
  }

  /// Waits until what was appended is on the disk, and so is the segment's name.
  func sync() throws(FileError) {
    guard descriptor >= 0 else { return }
    guard fdatasync(descriptor) == 0 else {
      throw FileError(path: Self.path(number, in: directory), action: "write", code: errno)
    }
    isDirty = false
    if isNamed { return }
    try Self.syncDirectory(directory)
    isNamed = true
  }

  func syncFormer() throws(FileError) {
    for segment in closed where segment.number <= former {
      let path = Self.path(segment.number, in: directory)
      let opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
      guard opened >= 0 else { throw FileError(path: path, action: "write", code: errno) }
      defer { close(opened) }
      // What is no file has nothing to lose.
      guard fdatasync(opened) == 0 || errno == EINVAL else { throw FileError(path: path, action: "write", code: errno) }
    }
    try Self.syncDirectory(directory)
  }

  /// Waits until the names in it are on the disk: the bytes of a file whose name is lost are lost with it.
  static func syncDirectory(_ path: String) throws(FileError) {
    let opened = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw FileError(path: path, action: "write", code: errno) }
    defer { close(opened) }
    // Some file systems have no such thing.
    guard fsync(opened) == 0 || errno == EINVAL else { throw FileError(path: path, action: "write", code: errno) }
  }

  /// Removes segments that were closed, the oldest first, as long as the body says so.
  func removeClosed(while isObsolete: (_ number: Int, _ bytesLeft: Int) -> Bool) {
    while let first = closed.first, isObsolete(first.number, totalBytes - bytes - first.bytes) {
      unlink(Self.path(first.number, in: directory))
      closed.removeFirst()
    }
  }

  var isFormerDamaged: Bool { damaged != nil }

  func replaceFormer() {
    guard let damaged else { return }
    self.damaged = nil
    closed.removeAll { number, _ in
      guard number <= former else { return false }
      let path = Self.path(number, in: directory)
      return damaged.contains(path) ? Self.putAside(path) : unlink(path) == 0
    }
  }

  /// Gives a segment a name by which nobody reads it, for a person to look at.
  /// - Returns: whether it has that.
  private static func putAside(_ path: String) -> Bool {
    for number in 1... {
      let aside = "\(path.dropLast(4))\(number == 1 ? "" : "-\(number)")\(JournalBeginning.damagedSuffix)"
      var status = stat()
      if lstat(aside, &status) != 0 { return rename(path, aside) == 0 }
    }
    return false
  }

  /// Removes what was written here, and leaves what was there before.
  func removeWritten() {
    endSegment()
    for segment in closed where segment.number > former { unlink(Self.path(segment.number, in: directory)) }
    closed.removeAll { $0.number > former }
  }

  /// Removes all segments, those that were put aside, too: there is nothing that a restarted controller should know.
  func removeAll() {
    endSegment()
    removeClosed { _, _ in true }
    // They may be what fills the disk.
    for name in DirectoryListing.names(in: directory) where JournalBeginning.isPutAside(name) {
      if unlink("\(directory)/\(name)") != 0 { rmdir("\(directory)/\(name)") }
    }
  }

  /// After an end in order.
  func removeDirectory() {
    removeAll()
    for name in [JournalBeginning.fileName, "id"] {
      unlink("\(directory)/\(name)")
      AtomicFile.removeUnfinished("\(directory)/\(name)")
    }
    Self.endAttempts(directory)
    rmdir(directory)
  }
}
