public import ApusMessaging

extension Configuration {
  /// For people: `--show-config`.
  public var text: String {
    var lines: [String] = []
    for (className, traits) in shownClasses {
      lines.append(className)
      for (trait, setting) in traits {
        lines.append("  .\(trait) = \(Self.pythonText(setting.value))  # \(setting.origin)")
      }
    }
    return lines.map { $0 + "\n" }.joined()
  }

  /// For programs: `--show-config-json`. Can be read back as a configuration file.
  public var json: JSONValue {
    .object(
      JSONObject(
        members: shownClasses.map { className, traits in
          let members = traits.map { (key: $0.name, value: shown($0.setting, $0.name, className)) }
          return (key: className, value: .object(JSONObject(members: members)))
        }))
  }

  /// Text of the command line as what the trait takes: numbers as numbers.
  private func shown(_ setting: Setting, _ trait: String, _ className: String) -> JSONValue {
    guard let kind = TraitTable.trait(trait, of: className)?.kind else { return setting.value }
    return (try? kind.convert(setting.value, isText: setting.origin.isText)) ?? setting.value
  }

  static func pythonText(_ value: JSONValue) -> String {
    switch value {
    case .null: "None"
    case .bool(let value): value ? "True" : "False"
    case .array(let elements): "[\(elements.map(pythonText).joined(separator: ", "))]"
    case .object(let object):
      "{\(object.members.map { "\(pythonText(.string($0.key))): \(pythonText($0.value))" }.joined(separator: ", "))}"
    case .string(let text) where !text.contains("'") && !text.contains("\\") && !text.contains("\n"): "'\(text)'"
    default: value.text
    }
  }

  /// A commented file for `--init`: Python, because both Apus and ipyparallel read lines of that kind.
  public static func template(for command: CommandSpecification) -> String {
    var lines = [
      "# Configuration of '\(command.formerName.split(separator: " ").first ?? "")', for Apus and ipyparallel alike.",
      "# Apus reads lines of the form 'c.Class.trait = literal'. The values below are the standards.", "",
      "c = get_config()  # noqa", "",
    ]
    for className in [command.application] + command.classes {
      guard let known = TraitTable.classes[className] else { continue }
      lines += ["# --- \(className): \(known.help)", ""]
      for trait in TraitTable.traits(of: className) {
        let standard = (try? PythonLiteral.parse(trait.standard)) == nil ? "...  # \(trait.standard)" : trait.standard
        lines += ["# \(trait.help)", "# c.\(className).\(trait.name) = \(standard)", ""]
      }
    }
    return lines.joined(separator: "\n")
  }
}
