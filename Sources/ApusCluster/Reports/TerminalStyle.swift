/// Colours and weights of a terminal.
public enum TerminalStyle: Int, Sendable {
  case bold = 1
  case dim = 2
  case red = 31
  case green = 32
  case yellow = 33
  case blue = 34
  case cyan = 36

  public func applied(to text: String) -> String { "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" }

  /// Without the escape sequences that peers put into what they render, for files and pipes.
  public static func removed(from text: String) -> String {
    var plain = String.UnicodeScalarView()
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      guard scalar == "\u{1B}" else {
        plain.append(scalar)
        continue
      }
      guard rest.popFirst() == "[" else { continue }
      while let next = rest.popFirst(), !("@"..."~").contains(next) {}
    }
    return String(plain)
  }

  /// A text from elsewhere on one line of a table: nothing in it moves the cursor.
  public static func printable(_ text: String) -> String {
    var plain = String.UnicodeScalarView()
    for scalar in removed(from: text).unicodeScalars {
      plain.append(scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? " " : scalar)
    }
    return String(plain)
  }
}
