/// What an engine runs: code in Python, or tasks of a Swift program.
///
/// The wire has it as text, in a registration request's `kind` and where the hub tells its engines. One that says nothing is a Python
/// engine: ipyparallel's engines have no other kind, and its clients do not ask.
public struct EngineKind: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }

  /// Runs Python: `execute`, and functions by name, by source or pickled.
  public static let python = EngineKind(rawValue: "python")
  /// Runs the tasks of the Swift program that it is.
  public static let swift = EngineKind(rawValue: "swift")

  /// What a message says under `kind`.
  /// - Parameter told: absent, or nothing that could be a kind, is Python.
  public init(told: JSONValue?) {
    guard let text = told?.stringValue, (1...Self.longest).contains(text.utf8.count) else {
      self = .python
      return
    }
    self.init(rawValue: text)
  }

  /// In bytes: every engine's kind is kept, and comes from outside.
  private static let longest = 64

  public var description: String { rawValue }
}
