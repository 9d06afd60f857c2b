import ApusMessaging
import Glibc

/// A real Python engine, `python3 -m apus.engine` of this checkout, as a process of its own.
final class PythonEngine: Sendable {
  let pid: pid_t
  private let directory = TemporaryDirectory()

  /// The checkout.
  private static let root: String = {
    let parts = #filePath.split(separator: "/").dropLast(4)
    return "/" + parts.joined(separator: "/")
  }()

  /// `APUS_TEST_PYTHON`, or the checkout's environment, or whatever `python3` is.
  private static let interpreter: String? = {
    if let named = getenv("APUS_TEST_PYTHON") { return String(cString: named) }
    let folders = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").map(String.init)
    return ([root + "/.venv/bin"] + folders).map { $0 + "/python3" }.first { access($0, X_OK) == 0 }
  }()

  /// What was built last, in debug or release: both are looked at, because an old one of either kind may lie there.
  private static let core: String? = {
    if let named = getenv("APUS_CORE") { return String(cString: named) }
    func date(_ path: String) -> Int {
      var status = stat()
      return stat(path, &status) == 0 ? status.st_mtim.tv_sec : 0
    }
    let paths = ["debug", "release"].map { "\(root)/.build/\($0)/lib_core.so" }.filter { date($0) > 0 }
    return paths.max { date($0) < date($1) }
  }()

  /// Whether there is an interpreter, and a core that was built: `swift build --product _core`.
  static var isAvailable: Bool { interpreter != nil && core != nil }

  struct Unavailable: Error {}

  /// - Parameter modules: a directory of modules that its tasks are in.
  init(_ file: ConnectionFile, modules: String? = nil) throws {
    guard let interpreter = Self.interpreter, let core = Self.core else { throw Unavailable() }
    let variables = [
      "PATH=" + (getenv("PATH").map { String(cString: $0) } ?? ""),
      "PYTHONPATH=\(Self.root)/python\(modules.map { ":\($0)" } ?? "")", "APUS_CORE=\(core)",
      "IPP_CONNECTION_INFO=\(file.json.text)", "IPYTHONDIR=\(directory.path)", "HOME=\(directory.path)",
    ]
    let words = [interpreter, "-m", "apus.engine", "--log-level=40"]
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { word in strdup(word) } + [nil]
    var environment: [UnsafeMutablePointer<CChar>?] = variables.map { word in strdup(word) } + [nil]
    defer { for text in arguments + environment { free(text) } }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    // What the test's process blocks, the engine must not: it waits for signals.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    defer { posix_spawnattr_destroy(&attributes) }
    var child: pid_t = 0
    guard posix_spawn(&child, interpreter, nil, &attributes, &arguments, &environment) == 0 else { throw Unavailable() }
    pid = child
  }

  func end() {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
  }
}
