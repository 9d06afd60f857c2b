import ApusMessaging

/// Python's levels of logging, by which ipyparallel's options name them.
public struct LogLevel: RawRepresentable, Hashable, Comparable, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let debug = LogLevel(rawValue: 10)
  public static let info = LogLevel(rawValue: 20)
  public static let warning = LogLevel(rawValue: 30)
  public static let error = LogLevel(rawValue: 40)
  public static let critical = LogLevel(rawValue: 50)

  private static let names = [
    "DEBUG": debug, "INFO": info, "WARN": warning, "WARNING": warning, "ERROR": error, "CRITICAL": critical,
  ]

  /// A number from 0 to 50 in tens, as number or text, or a name in either case.
  init?(_ value: JSONValue) {
    if let number = value.intValue ?? value.stringValue.flatMap({ Int($0) }) {
      guard (0...50).contains(number), number % 10 == 0 else { return nil }
      self.init(rawValue: number)
    } else if let level = value.stringValue.flatMap({ Self.names[$0.uppercased()] }) {
      self = level
    } else {
      return nil
    }
  }

  public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}
