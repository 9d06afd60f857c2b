/// One command: its options, what it is configured by, and what it teaches.
public struct CommandSpecification: Sendable, Hashable {
  public enum Operands: Sendable, Hashable {
    case none
    /// Words without a dash, with the name that help texts give them.
    case some(String)
    /// As above, and the command wants exactly one.
    case one(String)
    /// One word, a program; all that follows is its own, with dashes or without.
    case program(String, arguments: String)
  }

  /// As people write it after `apus`: `start`.
  public let name: String
  /// ipyparallel's command line for it: `ipcluster start`.
  public let formerName: String
  /// The class whose traits the shared options set.
  public let application: String
  /// Basename of its configuration files: `ipcluster`.
  public let configurationName: String
  public let summary: String
  public let discussion: String
  public let examples: [(command: String, meaning: String)]
  public let options: [CommandOption]
  /// Classes whose traits `--help-all` lists, besides the application's.
  public let classes: [String]
  public let operands: Operands
  /// What happens to arguments after `--`; `nil` if there may be none.
  public let passesThrough: String?

  public func option(named name: String) -> CommandOption? { options.first { $0.name == name } }

  public static func == (a: CommandSpecification, b: CommandSpecification) -> Bool { a.name == b.name }
  public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}
