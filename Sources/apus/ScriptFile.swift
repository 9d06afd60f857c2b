import ApusCluster
import ApusMessaging
import Glibc

/// A Python script with its arguments, as code that any engine can run.
struct ScriptFile {
  private let path: String
  private let source: [UInt8]
  private let arguments: [String]

  /// A script is text that people wrote; what is larger is something else, in bytes.
  private static let largest = 16 << 20

  init(_ path: String, arguments: [String]) throws(ClusterError) {
    if path == "-" {
      self.path = "<stdin>"
      source = Array(try Self.standardInput().utf8)
    } else {
      self.path = Path.absolute(path)
      do throws(FileError) { source = try AtomicFile.read(path, limit: Self.largest) } catch {
        throw ClusterError(.missingFile, "the script cannot be read: \(error)", advice: "Name a Python file; options go before it.")
      }
    }
    self.arguments = arguments
  }

  /// Text and arguments travel as digits: no quoting of theirs can break the code, whatever the script's encoding is.
  var cell: String {
    let argv = JSONValue([path] + arguments)
    return """
      def _apus_run_script():
          __tracebackhide__ = True
          import builtins, importlib.util, json, linecache, os, sys, types
          source = bytes.fromhex("\(Self.digits(source))")
          argv = json.loads(bytes.fromhex("\(Self.digits(argv.encoded()))"))
          path = argv[0]
          text = importlib.util.decode_source(source)
          linecache.cache[path] = (len(text), None, text.splitlines(True), path)
          module = types.ModuleType("__main__")
          module.__dict__.update(__file__=path, __builtins__=builtins)
          before = sys.argv, sys.modules.get("__main__"), list(sys.path)
          sys.argv = argv
          sys.modules["__main__"] = module
          if os.path.isdir(os.path.dirname(path)):
              sys.path.insert(0, os.path.dirname(path))
          try:
              exec(compile(source, path, "exec"), module.__dict__)
          except SystemExit as end:
              if isinstance(end.code, str):
                  print(end.code, file=sys.stderr)
              if end.code not in (None, 0):
                  raise RuntimeError(f"the script ended with exit code {end.code if isinstance(end.code, int) else 1}") from None
          finally:
              sys.argv, sys.modules["__main__"], sys.path[:] = before
              kept = {name: value for name, value in vars(module).items() if not (name.startswith("__") and name.endswith("__"))}
              globals().update(kept)
      try:
          _apus_run_script()
      finally:
          del _apus_run_script

      """
  }

  private static func digits(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  /// All of it.
  static func standardInput() throws(ClusterError) -> String {
    if isatty(STDIN_FILENO) != 0 { Terminal().note(.info, "reading code from the terminal; Ctrl-D ends it") }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(STDIN_FILENO, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw ClusterError(.failure, "standard input cannot be read: \(String(cString: strerror(errno)))")
      }
      if count == 0 { return String(decoding: all, as: UTF8.self) }
      all += buffer[..<count]
      guard all.count <= largest else {
        throw ClusterError(.failure, "standard input is no code: it is larger than \(largest >> 20) MB")
      }
    }
  }
}
