/// Help that teaches: what a command is for, examples, options; on request everything that can be configured.
public struct HelpText: Sendable {
  /// As the person called it: `apus` or `ipcluster`.
  private let program: String
  private let width: Int

  public init(program: String, width: Int = 100) {
    self.program = program
    self.width = width
  }

  /// What a person types for the command: `apus start`, `ipcluster start`, `ipcontroller`.
  private func invocation(_ command: CommandSpecification) -> String {
    program == "apus" ? "apus \(command.name)" : command.formerName
  }

  public func text(for command: CommandSpecification, everything: Bool = false) -> String {
    let name = invocation(command)
    var lines = ["\(command.summary).", ""]
    var usage = "Usage: \(name) [OPTION]…"
    switch command.operands {
    case .none: break
    case .some(let operand): usage += " [\(operand)]…"
    case .one(let operand): usage += " \(operand)"
    case .program(let program, let arguments): usage += " \(program) [\(arguments)]…"
    }
    if let receiver = command.passesThrough { usage += " [-- ARGUMENT… for \(receiver)]" }
    lines += [usage, ""] + wrap(command.discussion, indent: 0) + ["", "Examples"]
    let longest = command.examples.map { name.count + 1 + $0.command.count }.max() ?? 0
    for example in command.examples {
      let line = example.command.isEmpty ? name : "\(name) \(example.command)"
      lines.append("  \(pad(line, to: longest))  # \(example.meaning)")
    }
    lines += ["", "Options"]
    for option in command.options where option.name != "h" { lines += describe(option) }
    if everything {
      lines += ["", "Everything that can be configured", ""]
      lines += wrap(
        """
        On the command line as --Class.trait=value; in \(command.configurationName)_config.json of the profile as \
        {"Class": {"trait": value}}; in \(command.configurationName)_config.py as c.Class.trait = value.
        """, indent: 0)
      for className in [command.application] + command.classes { lines += describe(className) }
    } else {
      lines += ["", "'\(name) --help-all' shows everything that can be configured."]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The overview of `apus` or `ipcluster` without a command.
  public func overview(_ commands: [CommandSpecification], introduction: String) -> String {
    var lines = wrap(introduction, indent: 0) + ["", "Usage: \(program) COMMAND [OPTION]…", "", "Commands"]
    let longest = commands.map(\.name.count).max() ?? 0
    lines += commands.map { "  \(pad($0.name, to: longest))  \($0.summary)" }
    lines += ["", "Examples"]
    let examples = [
      ("start -n 4", "four engines on this machine, until Ctrl-C"), ("list", "what runs"),
      ("px 'import os; os.getpid()'", "Python on all engines"), ("status --watch", "what they do"),
      ("stop", "end the cluster of the default profile"),
    ].filter { example in commands.contains { example.0.hasPrefix($0.name) } }
    let width = examples.map(\.0.count).max() ?? 0
    lines += examples.map { "  \(program) \(pad($0.0, to: width))  # \($0.1)" }
    lines += ["", "'\(program) COMMAND --help' tells more about each."]
    return lines.joined(separator: "\n") + "\n"
  }

  private func describe(_ option: CommandOption) -> [String] {
    var head = "  \(option.spelling)"
    if case .value(let className, let trait) = option.effect {
      let placeholder = TraitTable.trait(trait, of: className)?.kind.placeholder ?? "VALUE"
      head += option.name.count == 1 ? " \(placeholder)" : "=\(placeholder)"
    }
    if case .optionalNumber(let className, let trait, _) = option.effect {
      head += "[=\(TraitTable.trait(trait, of: className)?.kind.placeholder ?? "NUMBER")]"
    }
    var help = option.help
    if case .value(let className, let trait) = option.effect, let standard = TraitTable.trait(trait, of: className)?.standard,
      standard != "''",
      standard != "[]"
    {
      help += " Standard: \(standard)."
    }
    return entry(head, help, column: 26)
  }

  private func describe(_ className: String) -> [String] {
    guard let known = TraitTable.classes[className] else { return [] }
    var lines = ["", "\(className): \(known.help)"]
    for trait in TraitTable.traits(of: className) {
      lines += entry(
        "  --\(className).\(trait.name)=\(trait.kind.placeholder)", "\(trait.help) Standard: \(trait.standard).", column: 6,
        ownLine: true)
    }
    return lines
  }

  private func entry(_ head: String, _ help: String, column: Int, ownLine: Bool = false) -> [String] {
    let lines = wrap(help, indent: column)
    guard !ownLine, head.count < column - 1, let first = lines.first else { return [head] + lines }
    return [pad(head, to: column) + first.dropFirst(column)] + lines.dropFirst()
  }

  private func wrap(_ text: String, indent: Int) -> [String] {
    var lines: [String] = []
    for paragraph in text.split(separator: "\n\n") {
      if !lines.isEmpty { lines.append("") }
      var line = ""
      for word in paragraph.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
        if !line.isEmpty, indent + line.count + 1 + word.count > width {
          lines.append(line)
          line = ""
        }
        line += line.isEmpty ? "\(word)" : " \(word)"
      }
      if !line.isEmpty { lines.append(line) }
    }
    let margin = String(repeating: " ", count: indent)
    return lines.map { $0.isEmpty ? "" : margin + $0 }
  }

  private func pad(_ text: String, to width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
}
