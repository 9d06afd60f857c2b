#if canImport(Glibc)
  import Glibc
#endif

/// A moment in microseconds since 1970, UTC: the resolution of the wire's dates.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let microseconds: Int

  public init(microseconds: Int) { self.microseconds = microseconds }

  public static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
  }

  public func advanced(by duration: Duration) -> Timestamp {
    let (seconds, attoseconds) = duration.components
    return Timestamp(microseconds: microseconds + Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000))
  }

  public static func - (a: Timestamp, b: Timestamp) -> Duration { .microseconds(a.microseconds - b.microseconds) }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

  /// `2026-01-31T09:08:07.123456Z`.
  public var description: String { String(decoding: utf8, as: UTF8.self) }

  var utf8: [UInt8] {
    let (days, inDay) = microseconds.floored(by: 86_400_000_000)
    let (year, month, day) = Timestamp.civil(days: days)
    var text: [UInt8] = []
    text.reserveCapacity(27)
    func put(_ value: Int, _ width: Int, then separator: Unicode.Scalar) {
      var divisor = 1
      for _ in 1..<width { divisor *= 10 }
      var rest = value
      for _ in 0..<width {
        text.append(UInt8(truncatingIfNeeded: 48 + rest / divisor % 10))
        rest %= divisor * 10
        divisor = max(1, divisor / 10)
      }
      text.append(UInt8(ascii: separator))
    }
    put(min(max(year, 0), 9999), 4, then: "-")
    put(month, 2, then: "-")
    put(day, 2, then: "T")
    put(inDay / 3_600_000_000, 2, then: ":")
    put(inDay / 60_000_000 % 60, 2, then: ":")
    put(inDay / 1_000_000 % 60, 2, then: ".")
    put(inDay % 1_000_000, 6, then: "Z")
    return text
  }

  /// Reads ISO 8601 as Python writes it: 0 to 6 digits of fraction (further ones are dropped), `Z`, an offset, or nothing (read as UTC).
  public init?(_ text: String) {
    var digits = Substring(text)
    func number(_ count: Int) -> Int? {
      let part = digits.prefix(count)
      guard part.utf8.count == count, part.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
      digits = digits.dropFirst(count)
      return Int(part)
    }
    func skip(_ characters: String) -> Bool {
      guard let first = digits.first, characters.contains(first) else { return false }
      digits = digits.dropFirst()
      return true
    }
    guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2), skip("T "), let hour = number(2),
      skip(":"),
      let minute = number(2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60
    else { return nil }
    var second = 0
    var fraction = 0
    if skip(":") {
      guard let value = number(2), value <= 60 else { return nil }
      second = value
    }
    if skip(".") {
      let part = digits.prefix { $0.isASCII && $0.isNumber }
      guard !part.isEmpty, let value = Int((part + "000000").prefix(6)) else { return nil }
      fraction = value
      digits = digits.dropFirst(part.count)
    }
    var offset = 0
    if let sign = digits.first, sign == "+" || sign == "-" {
      digits = digits.dropFirst()
      guard let hours = number(2) else { return nil }
      _ = skip(":")
      offset = (hours * 60 + (number(2) ?? 0)) * (sign == "-" ? -60 : 60)
    } else {
      _ = skip("Zz")
    }
    guard digits.isEmpty else { return nil }
    let days = Timestamp.days(year: year, month: month, day: day)
    self.init(microseconds: (days * 86_400 + hour * 3600 + minute * 60 + second - offset) * 1_000_000 + fraction)
  }

  // Days since 1970 to the Gregorian calendar and back: years start in March, so that the leap day comes last.
  private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
    let (era, dayOfEra) = (days + 719_468).floored(by: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }

  static func days(year: Int, month: Int, day: Int) -> Int {
    let (era, yearOfEra) = (month <= 2 ? year - 1 : year).floored(by: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}

extension Int {
  /// Quotient and remainder with the remainder never negative.
  fileprivate func floored(by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
