import Glibc

/// Environment variables as a value: read once at the edge, handed down, made up in tests.
public struct Environment: Sendable, Hashable {
  public var variables: [String: String]
  public init(_ variables: [String: String]) { self.variables = variables }

  /// Empty variables count as unset, as in most of ipyparallel.
  public subscript(name: String) -> String? {
    get { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
    set { variables[name] = newValue }
  }

  public var home: String? {
    if let home = self["HOME"] { return home }
    guard let entry = getpwuid(getuid()), let directory = entry.pointee.pw_dir else { return nil }
    return String(cString: directory)
  }

  /// Those of this process.
  public static func current() -> Environment {
    var variables: [String: String] = [:]
    var cursor = environ
    while let entry = cursor.pointee {
      let text = String(cString: entry)
      if let equals = text.firstIndex(of: "=") { variables[String(text[..<equals])] = String(text[text.index(after: equals)...]) }
      cursor += 1
    }
    return Environment(variables)
  }

  /// `NAME=value`, as `exec` takes them.
  var assignments: [String] { variables.map { "\($0.key)=\($0.value)" } }

  /// The first program of that name on PATH.
  public func find(_ program: String) -> String? {
    if program.contains("/") { return Self.isExecutable(program) ? program : nil }
    for directory in (variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":", omittingEmptySubsequences: false) {
      let candidate = directory.isEmpty ? "./\(program)" : "\(directory)/\(program)"
      if Self.isExecutable(candidate) { return candidate }
    }
    return nil
  }

  /// Whether it is a file that we may run.
  public static func isExecutable(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
  }
}
