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
  /// Writes beside the target, flushes, and renames: a reader sees the old file or the new one.
  /// - Parameters:
  ///   - mode: permissions of the new file; 0600 for keys.
  ///   - flushed: whether the bytes are on the disk when this returns.
  public static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o600, flushed: Bool = true) throws(FileError) {
    // Another thread of this process may write the same file.
    let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...UInt32.max)).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw FileError(path: path, action: "write", code: errno) }
    // The umask may have taken bits away that the caller asked for, and must not add any.
    fchmod(descriptor, mode)
    var written = 0
    while written < bytes.count {
      let count = bytes.withUnsafeBytes { buffer -> Int in
        guard let base = buffer.baseAddress else { return 0 }
        return Glibc.write(descriptor, base + written, bytes.count - written)
      }
      if count < 0 {
        if errno == EINTR { continue }
        let code = errno
        close(descriptor)
        unlink(temporary)
        throw FileError(path: path, action: "write", code: code)
      }
      written += count
    }
    if flushed { fsync(descriptor) }
    close(descriptor)
    guard rename(temporary, path) == 0 else {
      let code = errno
      unlink(temporary)
      throw FileError(path: path, action: "write", code: code)
    }
  }

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
