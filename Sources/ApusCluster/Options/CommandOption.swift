import ApusMessaging

/// One option of a command, as ipyparallel names it.
public struct CommandOption: Sendable, Hashable {
  public enum Effect: Sendable, Hashable {
    /// Takes a value, which becomes that of `Class.trait`.
    case value(String, String)
    /// Takes none, and sets these.
    case flag([Assignment])
    /// Takes none; or a value behind `=`, which becomes that of `Class.trait`.
    case switchable(String, String)
    /// Takes a number behind `=` or as the next word, or none; then it is the standard.
    case optionalNumber(String, String, standard: String)
    case action(Action)
  }

  public struct Assignment: Sendable, Hashable {
    let className: String
    let trait: String
    let value: JSONValue
    init(_ className: String, _ trait: String, _ value: JSONValue) {
      self.className = className
      self.trait = trait
      self.value = value
    }
  }

  /// What a command does instead of its work.
  public enum Action: Sendable, Hashable { case help, helpAll, version }

  /// Without dashes. One letter can be written with one dash.
  public let name: String
  public let effect: Effect
  public let help: String

  /// An option with a value.
  static func value(_ name: String, _ className: String, _ trait: String, _ help: String? = nil) -> CommandOption {
    CommandOption(name: name, effect: .value(className, trait), help: help ?? TraitTable.trait(trait, of: className)?.help ?? "")
  }

  static func flag(_ name: String, _ assignments: [Assignment], _ help: String) -> CommandOption {
    CommandOption(name: name, effect: .flag(assignments), help: help)
  }

  static func flag(_ name: String, _ className: String, _ trait: String, _ value: JSONValue = true, _ help: String? = nil)
    -> CommandOption
  {
    flag(name, [Assignment(className, trait, value)], help ?? TraitTable.trait(trait, of: className)?.help ?? "")
  }

  static func switchable(_ name: String, _ className: String, _ trait: String) -> CommandOption {
    CommandOption(name: name, effect: .switchable(className, trait), help: TraitTable.trait(trait, of: className)?.help ?? "")
  }

  static func optionalNumber(_ name: String, _ className: String, _ trait: String, standard: String) -> CommandOption {
    CommandOption(
      name: name, effect: .optionalNumber(className, trait, standard: standard),
      help: (TraitTable.trait(trait, of: className)?.help ?? "") + " Without a number: \(standard).")
  }

  static func action(_ name: String, _ action: Action, _ help: String) -> CommandOption {
    CommandOption(name: name, effect: .action(action), help: help)
  }

  /// `-n`, `--profile`.
  public var spelling: String { name.count == 1 ? "-\(name)" : "--\(name)" }
}
