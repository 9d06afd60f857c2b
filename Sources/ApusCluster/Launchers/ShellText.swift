/// Words as a shell reads them.
enum ShellText {
  /// In single quotes where it has to be.
  static func quoted(_ word: String) -> String {
    let plain = "@%+=:,./-_"
    if !word.isEmpty, word.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) || plain.contains($0) }) { return word }
    return "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  static func line(_ words: [String]) -> String { words.map(quoted).joined(separator: " ") }
}
