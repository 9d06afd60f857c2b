#if canImport(Glibc)
  import Glibc
#endif
public import Transport

/// Dates that are looked for by the thousands a second: found by the bytes of their key, and read without making a text.
extension Timestamp {
  /// The date that follows `"key": "` somewhere in a dictionary of a message: for what is shown to people. Whoever decides by it decodes the
  /// dictionary.
  ///
  /// - Parameter key: with its quotation marks.
  public static func found(_ key: StaticString, in frame: Frame) -> Timestamp? {
    if frame.isIdentical(to: .emptyObject) { return nil }
    return frame.withUnsafeBytes { json in
      json.rest(ofTextAt: key).flatMap { Timestamp(digits: $0) }
    }
  }

  /// The form that Python and Apus write, `2026-01-31T09:08:07.123456` with `Z` or `+00:00`, at the beginning of these bytes.
  init?(digits text: UnsafeRawBufferPointer) {
    guard text.count > 26 else { return nil }
    var isNumber = true
    func number(_ range: Range<Int>) -> Int {
      var value = 0
      for index in range {
        let digit = Int(text[index]) - 48
        if digit < 0 || digit > 9 { isNumber = false }
        value = value * 10 + digit
      }
      return value
    }
    guard text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"), text[10] == UInt8(ascii: "T"), text[13] == UInt8(ascii: ":"),
      text[16] == UInt8(ascii: ":"), text[19] == UInt8(ascii: "."), text[26] == UInt8(ascii: "Z") || text[26] == UInt8(ascii: "+")
    else { return nil }
    let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
    let (hour, minute, second, fraction) = (number(11..<13), number(14..<16), number(17..<19), number(20..<26))
    guard isNumber, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60 else { return nil }
    if text[26] == UInt8(ascii: "+") {
      // Of other offsets somebody else may know.
      guard text.count > 31, number(27..<29) == 0, text[29] == UInt8(ascii: ":"), number(30..<32) == 0, isNumber else { return nil }
    }
    let seconds = Timestamp.days(year: year, month: month, day: day) * 86_400 + hour * 3600 + minute * 60 + second
    self.init(microseconds: seconds * 1_000_000 + fraction)
  }
}

extension UnsafeRawBufferPointer {
  /// Where these bytes begin, two at least.
  package func firstIndex(ofWord word: StaticString) -> Int? {
    let length = word.utf8CodeUnitCount
    guard let start = baseAddress, length >= 2, count >= length else { return nil }
    let (first, second) = (word.utf8Start[0], word.utf8Start[1])
    var index = 0
    while index <= count - length {
      if self[index] == first, self[index + 1] == second, memcmp(start + index, word.utf8Start, length) == 0 { return index }
      index += 1
    }
    return nil
  }
  /// What follows `"key": "`, wherever that stands.
  /// - Parameter key: with its quotation marks.
  fileprivate func rest(ofTextAt key: StaticString) -> UnsafeRawBufferPointer? {
    guard var index = firstIndex(ofWord: key) else { return nil }
    index += key.utf8CodeUnitCount
    while index < count, self[index] == UInt8(ascii: ":") || self[index] == UInt8(ascii: " ") { index += 1 }
    guard index < count, self[index] == UInt8(ascii: "\"") else { return nil }
    return UnsafeRawBufferPointer(rebasing: self[(index + 1)...])
  }

  /// The text of a member, wherever it stands: for what is shown to people, as `Timestamp.found`.
  /// - Returns: `nil` for one with escapes.
  package func text(of key: StaticString) -> UnsafeRawBufferPointer? {
    guard let rest = rest(ofTextAt: key), let end = rest.firstIndex(of: UInt8(ascii: "\"")) else { return nil }
    let text = UnsafeRawBufferPointer(rebasing: rest[..<end])
    return text.contains(UInt8(ascii: "\\")) ? nil : text
  }
}
