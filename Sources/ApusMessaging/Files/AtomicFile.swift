import Transport

#if canImport(Glibc)
  import Glibc
#endif

/// Why a file could not be read or written.
public struct FileError: Error, Hashable, Sendable, CustomStringConvertible {
  public let path: String
  public let action: String
  public let code: Int32
  public init(path: String, action: String, code: Int32) {
    self.path = path
    self.action = action
    self.code = code
  }
  public var description: String { "cannot \(action) \(path): \(String(cString: strerror(code)))" }
}

/// Small files that other processes watch for: written whole or not at all.
public enum AtomicFile {
  /// Writes beside the target, flushes, and renames: a reader sees the old file or the new one. Whoever is killed meanwhile leaves nothing, where
  /// the file system knows files without a name.
  /// - Parameters:
  ///   - mode: permissions of the new file; 0600 for keys.
  ///   - flushed: whether the bytes are on the disk when this returns.
  public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600, flushed: Bool = true) throws(FileError) {
    // Another thread of this process may write the same file.
    let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...UInt32.max)).new"
    var code = writeUnnamed(bytes, mode: mode, flushed: flushed, andName: temporary)
    if code != 0 { code = writeNamed(bytes, mode: mode, flushed: flushed, temporary) }
    if code == 0, rename(temporary, path) != 0 {
      code = errno
      unlink(temporary)
    }
    if code != 0 { throw FileError(path: path, action: "write", code: code) }
  }

  /// A file that gets its name when all of it is written.
  /// - Returns: the error's number; 0 is none. It is an error, too, where the file system does not know such files.
  private static func writeUnnamed(_ bytes: [UInt8], mode: UInt32, flushed: Bool, andName name: String) -> Int32 {
    let directory = name.lastIndex(of: "/").map { name[...$0] } ?? "."
    // O_TMPFILE, whose macro Swift does not read.
    let descriptor = open(String(directory), 0o20000000 | O_DIRECTORY | O_WRONLY | O_CLOEXEC, mode)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    let code = write(bytes, mode: mode, flushed: flushed, to: descriptor)
    if code != 0 { return code }
    return linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno
  }

  /// - Returns: the error's number; 0 is none.
  static func writeNamed(_ bytes: [UInt8], mode: UInt32, flushed: Bool, _ path: String) -> Int32 {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    let code = write(bytes, mode: mode, flushed: flushed, to: descriptor)
    if code != 0 { unlink(path) }
    return code
  }

  private static func write(_ bytes: [UInt8], mode: UInt32, flushed: Bool, to descriptor: Int32) -> Int32 {
    // The umask may have taken bits away that the caller asked for, and must not add any.
    fchmod(descriptor, mode)
    let code = append(bytes, to: descriptor)
    if code == 0, flushed { fsync(descriptor) }
    return code
  }

  /// Writes to what is open: all of it.
  /// - Returns: the error's number; 0 is none.
  private static func append(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return Glibc.write(descriptor, base + written, bytes.count - written)
      }
      if count < 0 {
        if errno == EINTR { continue }
        return errno
      }
      written += count
    }
    return 0
  }

  /// Writes to where a user wants to have it: through a link, and into a device, a pipe or what a process has open, which no file is to be put in
  /// the place of; into a file as it is where none may be made beside it.
  /// - Parameter mode: of a new file; another keeps its own.
  public static func writeThrough(_ bytes: [UInt8], to path: String, mode: UInt32) throws(FileError) {
    var status = stat()
    let isThere = stat(path, &status) == 0
    var link = stat()
    if !isThere, lstat(path, &link) != 0 { return try write(bytes, to: path, mode: mode, flushed: false) }
    let isOpen = isThere && (status.st_mode & S_IFMT != S_IFREG || openFiles.contains { path.hasPrefix($0) })
    if isThere, !isOpen {
      let real = realpath(path, nil)
      defer { free(real) }
      do throws(FileError) {
        return try write(bytes, to: real.map { String(cString: $0) } ?? path, mode: status.st_mode & 0o7777, flushed: false)
      } catch { if ![EACCES, EPERM, EBUSY, EXDEV, ENAMETOOLONG].contains(error.code) { throw error } }
    }
    let descriptor = open(path, O_WRONLY | O_CLOEXEC | (isOpen ? O_APPEND : O_CREAT | O_TRUNC), mode)
    guard descriptor >= 0 else { throw FileError(path: path, action: "write", code: errno) }
    defer { close(descriptor) }
    let code = append(bytes, to: descriptor)
    if code != 0 { throw FileError(path: path, action: "write", code: code) }
  }

  /// Under which names there are files of processes.
  private static let openFiles = ["/dev/std", "/dev/fd/", "/proc/"]

  public static func read(_ path: String, limit: Int = 16 << 20) throws(FileError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(path: path, action: "read", code: errno) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < limit {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw FileError(path: path, action: "read", code: errno)
      }
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return bytes
  }
}

extension AtomicFile {
  /// Removes a file; that it is gone already is no error.
  public static func remove(_ path: String) { unlink(path) }

  /// Removes what is left beside a file of processes that were killed while they wrote it. Nobody may be writing it any more.
  public static func removeUnfinished(_ path: String) {
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { String(path[..<$0]) } ?? "."
    for unfinished in unfinished(in: directory.isEmpty ? "/" : directory)
    where slash == nil ? unfinished.target == "./\(path)" : unfinished.target == path {
      unlink(unfinished.path)
    }
  }

  /// What processes are writing in a directory, or had been when they were killed, and which files were to become of it.
  public static func unfinished(in directory: String) -> [(path: String, target: String)] {
    let directory = directory.hasSuffix("/") ? directory : directory + "/"
    return DirectoryListing.names(in: directory).sorted().compactMap { name in
      target(of: name).map { (directory + name, directory + $0) }
    }
  }

  /// - Parameter name: as of `write`: somebody else's file may have an ending like ours.
  private static func target(of name: String) -> Substring? {
    guard name.hasSuffix(".new") else { return nil }
    let stem = name.dropLast(4)
    guard let point = stem.lastIndex(of: "."), point != stem.startIndex else { return nil }
    let numbers = stem[stem.index(after: point)...].split(separator: "-", omittingEmptySubsequences: false)
    guard numbers.count == 2, numbers.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }) else {
      return nil
    }
    return stem[..<point]
  }
}
