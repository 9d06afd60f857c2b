import Glibc

/// A folder of this host for the Unix domain sockets of one controller, that no other user can look into.
///
/// It is locked while its controller lives: what a killed one has left is found by that and removed by the next.
public final class LocalDirectory: Sendable {
  public let path: String
  private let lock: Int32
  /// Of these folders alone: others of ours, as those of engines on a host, have names that begin otherwise, and locks as well.
  private static let prefix = "apus-sockets-"
  private static let lockName = "lock"

  /// - Parameter path: the folder of a controller whose connection files are used again; `nil` makes a new one.
  /// - Throws: where a socket's address (107 bytes) has no room for it, or the folder cannot be made.
  public init(reusing path: String? = nil) throws(SystemError) {
    if let path {
      guard mkdir(path, 0o700) == 0 || Self.isOwn(path) else { throw SystemError(errno == 0 ? EACCES : errno) }
      lock = try Self.lock(in: path)
      self.path = path
      Self.removeFiles(in: path)
      return
    }
    let base = Self.base
    Self.removeAbandoned(in: base)
    for _ in 0..<16 {
      var generator = SystemRandomNumberGenerator()
      let candidate = "\(base)/\(Self.prefix)\(String(generator.next(), radix: 36))"
      guard mkdir(candidate, 0o700) == 0 else {
        if errno == EEXIST { continue }
        throw SystemError(errno)
      }
      lock = try Self.lock(in: candidate)
      self.path = candidate
      return
    }
    throw SystemError(EEXIST)
  }

  deinit {
    Self.removeFiles(in: path)
    unlink("\(path)/\(Self.lockName)")
    rmdir(path)
    close(lock)
  }

  /// Where a socket of this folder is.
  public static func file(_ name: String, in directory: String) -> String { "\(directory)/\(name)" }

  /// Whether it is a folder of our own user, on this host, that nobody else can change or look into.
  public static func isOwn(_ path: String) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else { return false }
    return status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid() && status.st_mode & 0o077 == 0
  }

  /// Whether there is a socket of that name.
  public static func hasSocket(_ name: String, in directory: String) -> Bool {
    var status = stat()
    return lstat(file(name, in: directory), &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
  }

  /// The user's own folder for such things where the system has one; it must leave room for names.
  private static var base: String {
    if let runtime = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), runtime.hasPrefix("/"), runtime.utf8.count < 60,
      isOwn(runtime)
    {
      return runtime
    }
    return "/tmp"
  }

  private static func lock(in directory: String) throws(SystemError) -> Int32 {
    let descriptor = open("\(directory)/\(lockName)", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw SystemError(errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      throw SystemError(code)
    }
    return descriptor
  }

  private static func isOlder(_ path: String, than seconds: Int) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && time(nil) - status.st_mtim.tv_sec > seconds
  }

  /// What holds anything else was not made here, whatever it is called.
  private static func hasOnlySockets(_ directory: String) -> Bool {
    DirectoryListing.names(in: directory).allSatisfy { $0 == lockName || hasSocket($0, in: directory) }
  }

  private static func removeFiles(in directory: String) {
    for name in DirectoryListing.names(in: directory) where name != lockName { unlink("\(directory)/\(name)") }
  }

  /// Those of earlier versions have no word in the middle.
  private static func isName(_ name: String) -> Bool {
    if name.hasPrefix(prefix) { return true }
    let former = "apus-"
    guard name.hasPrefix(former) else { return false }
    return name.utf8.dropFirst(former.utf8.count).allSatisfy { (48...57).contains($0) || (97...122).contains($0) }
  }

  /// Folders of ours whose controllers were killed.
  private static func removeAbandoned(in base: String) {
    for name in DirectoryListing.names(in: base) where isName(name) {
      let directory = "\(base)/\(name)"
      // One that is being made at this moment is not locked yet.
      guard isOwn(directory), isOlder(directory, than: 2) else { continue }
      let lock = open("\(directory)/\(lockName)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
      guard lock >= 0 else { continue }
      defer { close(lock) }
      guard flock(lock, LOCK_EX | LOCK_NB) == 0, hasOnlySockets(directory) else { continue }
      removeFiles(in: directory)
      unlink("\(directory)/\(lockName)")
      rmdir(directory)
    }
  }
}
