import ApusMessaging

/// `ipcontroller_config.py` and its like, as far as they are plain: `c.Class.trait = literal`.
///
/// ipyparallel runs these files. Apus starts no Python to read its configuration, so a line that computes something is named in a warning and
/// otherwise passed over; the JSON form, or the command line, says the same to both.
public enum PythonConfigurationFile {
  public struct Contents: Sendable, Hashable {
    public var configuration = Configuration()
    /// Lines that have no effect here, as `path:line: text`.
    public var ignored: [String] = []
  }

  public static func parse(_ text: String, path: String) -> Contents {
    var contents = Contents()
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.last == "\r" ? String($0.dropLast()) : String($0)
    }
    var index = 0
    while index < lines.count {
      let number = index + 1
      var statement = lines[index]
      index += 1
      let start = statement.drop { $0 == " " || $0 == "\t" }
      if start.isEmpty || start.hasPrefix("#") { continue }
      // A statement goes on while a bracket or a triple quote is open, or after a backslash.
      while index < lines.count, PythonLiteral.isOpen(statement) || statement.hasSuffix("\\") {
        if statement.hasSuffix("\\") { statement.removeLast() }
        statement += "\n" + lines[index]
        index += 1
      }
      if isHarmless(start) { continue }
      if start.startIndex == statement.startIndex, let (className, trait, value) = assignment(statement) {
        contents.configuration.set(className, trait, value, from: .file(path, line: number))
      } else {
        contents.ignored.append("\(path):\(number): \(start)")
        // What is indented below belongs to what was not understood.
        if statement.hasSuffix(":") { while index < lines.count, lines[index].isEmpty || lines[index].first == " " { index += 1 } }
      }
    }
    return contents
  }

  /// `c = get_config()` and imports set nothing; a text of its own is a comment.
  private static func isHarmless(_ line: Substring) -> Bool {
    // Behind a semicolon anything may stand.
    if line.contains(";") { return false }
    return ["import ", "from ", "\"", "'", "pass"].contains { line.hasPrefix($0) }
      || line.filter { $0 != " " }.hasPrefix("c=get_config()")
  }

  private static func assignment(_ statement: String) -> (className: String, trait: String, value: JSONValue)? {
    guard statement.hasPrefix("c."), let equals = statement.firstIndex(of: "="),
      statement[statement.index(after: equals)...].first != "="
    else { return nil }
    let target = statement[..<equals].filter { $0 != " " && $0 != "\t" }.split(separator: ".", omittingEmptySubsequences: false)
    guard target.count == 3, target.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } }) else {
      return nil
    }
    guard let value = try? PythonLiteral.parse(String(statement[statement.index(after: equals)...])) else { return nil }
    return (String(target[1]), String(target[2]), value)
  }
}
