public import ApusProcess
import Glibc

/// Paths as text.
public enum Path {
  public static func join(_ first: String, _ rest: String...) -> String {
    rest.reduce(first) { path, part in
      part.hasPrefix("/") ? part : path.hasSuffix("/") || path.isEmpty ? path + part : "\(path)/\(part)"
    }
  }

  public static func name(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }

  public static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The executable that runs here; `nil` where the system does not tell.
  public static var thisProgram: String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }

  public static var currentDirectory: String {
    guard let path = getcwd(nil, 0) else { return "/" }
    defer { free(path) }
    return String(cString: path)
  }

  /// Absolute, without `.`, `..` and double slashes, symbolic links untouched: as Python's `os.path.abspath`.
  public static func absolute(_ path: String) -> String {
    var parts: [Substring] = []
    for part in (path.hasPrefix("/") ? path : "\(currentDirectory)/\(path)").split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
  }

  /// Replaces a leading `~` by the home directory and `$NAME` by the variable: what traitlets does to directories.
  public static func expanded(_ path: String, _ environment: Environment) -> String {
    var path = path
    if path == "~" || path.hasPrefix("~/") { path = (environment.home ?? "~") + path.dropFirst() }
    guard path.contains("$") else { return path }
    var result = ""
    var rest = path[...]
    while let dollar = rest.firstIndex(of: "$") {
      result += rest[..<dollar]
      rest = rest[rest.index(after: dollar)...]
      let braced = rest.first == "{"
      let start = braced ? rest.dropFirst() : rest
      let name = start.prefix { $0.isLetter || $0.isNumber || $0 == "_" }
      if let value = environment[String(name)], !name.isEmpty {
        result += value
        rest = start[name.endIndex...]
        if braced, rest.first == "}" { rest = rest.dropFirst() }
      } else {
        result += "$"
      }
    }
    return result + rest
  }
}
