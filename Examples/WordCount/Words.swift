/// Counting words: a word is what stands between white space, in lower case, with everything that is not a letter removed; what is empty
/// then is no word.
enum Words {
  static func count(_ text: String) -> [String: Int] {
    var counts: [String: Int] = [:]
    var text = text
    text.withUTF8 { bytes in
      var word: [UInt8] = []
      var start = 0
      var isPlain = true
      for index in 0...bytes.count {
        let byte = index < bytes.count ? bytes[index] : 0x20
        guard byte == 0x20 || 0x09...0x0D ~= byte || 0x1C...0x1F ~= byte else {
          if byte >= 0x80 { isPlain = false }
          continue
        }
        if isPlain { add(bytes[start..<index], &word, to: &counts) } else { addUnicode(bytes[start..<index], to: &counts) }
        start = index + 1
        isPlain = true
      }
    }
    return counts
  }

  private static func add(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, _ word: inout [UInt8], to counts: inout [String: Int]) {
    word.removeAll(keepingCapacity: true)
    for byte in bytes {
      switch byte {
      case 0x41...0x5A: word.append(byte | 0x20)
      case 0x61...0x7A: word.append(byte)
      default: break
      }
    }
    if !word.isEmpty { counts[String(decoding: word, as: UTF8.self), default: 0] += 1 }
  }

  private static func addUnicode(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, to counts: inout [String: Int]) {
    let text = String(decoding: bytes, as: UTF8.self)
    for part in text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace) {
      let letters = String(String.UnicodeScalarView(part)).lowercased().unicodeScalars.filter { isLetter($0) }
      let word = String(String.UnicodeScalarView(letters))
      if !word.isEmpty { counts[word, default: 0] += 1 }
    }
  }

  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// About equal parts that end at the end of a line.
  static func parts(of text: String, _ count: Int) -> [String] {
    var parts: [String] = []
    let bytes = text.utf8
    let size = max(1, bytes.count / max(1, count))
    var start = bytes.startIndex
    while start < bytes.endIndex {
      var end = bytes.index(start, offsetBy: size, limitedBy: bytes.endIndex) ?? bytes.endIndex
      while end < bytes.endIndex, bytes[end] != UInt8(ascii: "\n") { bytes.formIndex(after: &end) }
      parts.append(String(Substring(bytes[start..<end])))
      start = end
    }
    return parts
  }

  static func merge(_ counts: [[String: Int]]) -> [String: Int] {
    var all = counts.first ?? [:]
    for part in counts.dropFirst() { all.merge(part, uniquingKeysWith: +) }
    return all
  }
}
