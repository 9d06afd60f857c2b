import ApusMessaging

/// A command line, read: configuration, operands, and what follows `--`.
public struct CommandLineArguments: Sendable, Hashable {
  public var configuration = Configuration()
  public var operands: [String] = []
  /// Arguments after `--`, unread.
  public var passedThrough: [String] = []
  public var action: CommandOption.Action?
}

/// Reads ipyparallel's forms of options: `--name=value`, `--name value`, `-n 2`, `-n2`, `--flag`, `--Class.trait=value`, `--Class.trait value`.
public struct CommandLineParser: Sendable {
  private let command: CommandSpecification
  private var result = CommandLineArguments()

  private init(_ command: CommandSpecification) { self.command = command }

  /// - Throws: `ExitCode.usage`, with the nearest option there is.
  public static func parse(_ arguments: [String], for command: CommandSpecification) throws(ClusterError) -> CommandLineArguments {
    var parser = CommandLineParser(command)
    try parser.read(arguments[...])
    return parser.result
  }

  private mutating func read(_ arguments: ArraySlice<String>) throws(ClusterError) {
    var rest = arguments
    while let argument = rest.popFirst() {
      if argument == "--" {
        if command.passesThrough != nil {
          result.passedThrough = Array(rest)
        } else if case .none = command.operands {
          throw usage("'\(command.name)' takes no arguments after --")
        } else {
          result.operands += rest
        }
        return
      }
      if argument.hasPrefix("--") {
        try readLong(argument, &rest)
      } else if argument.hasPrefix("-"), argument.count > 1, Int(argument) == nil {
        try readShort(argument, &rest)
      } else {
        switch command.operands {
        case .none: throw usage("'\(command.name)' takes no argument '\(argument)'")
        case .some, .one: result.operands.append(argument)
        case .program:
          result.operands = [argument] + rest
          return
        }
      }
    }
  }

  private mutating func readLong(_ argument: String, _ rest: inout ArraySlice<String>) throws(ClusterError) {
    let (name, value) = Self.split(argument.dropFirst(2))
    if let option = command.option(named: name) { return try apply(option, as: "--\(name)", value, &rest) }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 2, let first = parts.first, first.first?.isUppercase == true {
      return set(String(parts[0]), String(parts[1]), try self.value(value, after: "--\(name)", &rest), as: "--\(name)")
    }
    throw unknown("--\(name)", name)
  }

  /// `-n2`, `-n=2`, `-n 2`, `-h`; a long name behind one dash is read as if it had two.
  private mutating func readShort(_ argument: String, _ rest: inout ArraySlice<String>) throws(ClusterError) {
    let body = argument.dropFirst()
    let (name, value) = Self.split(body)
    if let option = command.option(named: name) { return try apply(option, as: "-\(name)", value, &rest) }
    if let letter = body.first, let option = command.option(named: String(letter)), case .value = option.effect {
      return try apply(option, as: "-\(letter)", String(body.dropFirst()), &rest)
    }
    throw unknown("-\(name)", name)
  }

  private mutating func apply(_ option: CommandOption, as spelling: String, _ value: String?, _ rest: inout ArraySlice<String>)
    throws(ClusterError)
  {
    switch option.effect {
    case .value(let className, let trait): set(className, trait, try self.value(value, after: spelling, &rest), as: spelling)
    case .switchable(let className, let trait): set(className, trait, value ?? "True", as: spelling)
    case .optionalNumber(let className, let trait, let standard):
      var number = value
      if number == nil, let next = rest.first, DurationText.seconds(next) != nil { number = rest.removeFirst() }
      set(className, trait, number ?? standard, as: spelling)
    case .flag(let assignments):
      guard value == nil else { throw usage("\(spelling) takes no value") }
      for assignment in assignments {
        result.configuration.set(assignment.className, assignment.trait, assignment.value, from: .commandLine(spelling))
      }
    case .action(let action):
      guard value == nil else { throw usage("\(spelling) takes no value") }
      // The first one asked for: `--help --version` helps.
      if result.action == nil { result.action = action }
    }
  }

  private func value(_ given: String?, after spelling: String, _ rest: inout ArraySlice<String>) throws(ClusterError) -> String {
    if let given { return given }
    guard let value = rest.first, !value.hasPrefix("--") else {
      throw usage("\(spelling) needs a value")
    }
    rest.removeFirst()
    return value
  }

  /// A list grows by repetition; everything else takes the last value.
  private mutating func set(_ className: String, _ trait: String, _ text: String, as spelling: String) {
    var value = JSONValue.string(text)
    let kind = TraitTable.trait(trait, of: className)?.kind
    if kind == .texts || kind == .ports || kind == .dictionary, let earlier = result.configuration.classes[className]?[trait]?.value
    {
      value = .array((earlier.arrayValue ?? [earlier]) + [value])
    }
    result.configuration.set(className, trait, value, from: .commandLine(spelling))
  }

  private static func split(_ text: Substring) -> (name: String, value: String?) {
    guard let equals = text.firstIndex(of: "=") else { return (String(text), nil) }
    return (String(text[..<equals]), String(text[text.index(after: equals)...]))
  }

  private func unknown(_ spelling: String, _ name: String) -> ClusterError {
    if let near = Suggestion.nearest(to: name, among: command.options.map(\.name)), let option = command.option(named: near) {
      return usage("there is no option \(spelling); did you mean \(option.spelling)?")
    }
    let others = CommandSpecification.all.filter { $0.option(named: name) != nil }
    if let other = others.first {
      let hint =
        command.passesThrough != nil && other.name == "controller" ? " Write it after --: it goes to the controller then." : ""
      return usage("there is no option \(spelling) for '\(command.name)'; '\(other.name)' has it.\(hint)")
    }
    return usage("there is no option \(spelling)")
  }

  private func usage(_ reason: String) -> ClusterError {
    let own = "apus \(command.name)"
    let former = command.formerName == own ? "" : " (or '\(command.formerName) --help')"
    return ClusterError(.usage, reason, advice: "See '\(own) --help'\(former) for what there is.")
  }
}
