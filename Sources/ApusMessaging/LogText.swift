extension String {
  /// For logs and terminals: control characters are spelt out, so that what came from outside cannot write lines or colours of its own. Further
  /// lines are indented: none of them looks like the log's.
  public var printable: String {
    guard unicodeScalars.contains(where: { Self.isControl($0) }) else { return self }
    var text = ""
    text.reserveCapacity(utf8.count + 16)
    for scalar in unicodeScalars {
      if scalar == "\n" {
        text += "\n    "
      } else if scalar == "\t" || !Self.isControl(scalar) {
        text.unicodeScalars.append(scalar)
      } else {
        text += "\\u{\(String(scalar.value, radix: 16))}"
      }
    }
    return text
  }

  /// In one line, for values within a line.
  public var printableInLine: String {
    printable.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\\n")
  }

  /// C0, DEL and C1, and what turns the direction of writing or ends a line.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
