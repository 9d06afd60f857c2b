public import ApusMessaging

/// Where a value of the configuration was said: errors name it.
public enum SettingOrigin: Sendable, Hashable, CustomStringConvertible {
  /// The option as it was written.
  case commandLine(String)
  case environment(String)
  /// A file, and the line in it where that is known.
  case file(String, line: Int?)

  public var isCommandLine: Bool { if case .commandLine = self { true } else { false } }

  public var description: String {
    switch self {
    case .commandLine(let option): option
    case .environment(let name): "$\(name)"
    case .file(let path, let line): line.map { "\(path):\($0)" } ?? path
    }
  }
}

/// One value somebody gave to `Class.trait`.
public struct Setting: Sendable, Hashable {
  /// As it was written: the command line knows only strings and lists of strings.
  public var value: JSONValue
  public var origin: SettingOrigin
}

/// Values of traits by class: what traitlets calls `Config`.
public struct Configuration: Sendable, Hashable {
  public private(set) var classes: [String: [String: Setting]] = [:]
  public init() {}

  public var isEmpty: Bool { classes.isEmpty }

  public mutating func set(_ className: String, _ trait: String, _ value: JSONValue, from origin: SettingOrigin) {
    classes[className, default: [:]][trait] = Setting(value: value, origin: origin)
  }

  /// The other's values win.
  public mutating func merge(_ other: Configuration) {
    for (name, traits) in other.classes { classes[name, default: [:]].merge(traits) { $1 } }
  }

  /// Moves what ipyparallel before version 7 said of `IPClusterStart` and `IPClusterEngines` to `Cluster`, unless something was said there.
  public mutating func adoptFormerNames() {
    let moved = ["delay", "engine_launcher_class", "controller_launcher_class", "controller_ip", "controller_location", "n"]
    for className in ["IPClusterStart", "IPClusterEngines"] {
      for trait in moved {
        guard let setting = classes[className]?.removeValue(forKey: trait) else { continue }
        if classes["Cluster"]?[trait] == nil { classes["Cluster", default: [:]][trait] = setting }
      }
      if classes[className]?.isEmpty == true { classes[className] = nil }
    }
  }

  /// Without the requests to show it.
  var shownClasses: [(name: String, traits: [(name: String, setting: Setting)])] {
    classes.sorted { $0.key < $1.key }.compactMap { className, traits in
      let kept = traits.filter { !$0.key.hasPrefix("show_config") }.sorted { $0.key < $1.key }
      return kept.isEmpty ? nil : (className, kept.map { ($0.key, $0.value) })
    }
  }

  /// The value of a trait of a class: what was said of that class itself, else of the nearest class it descends from.
  public func setting(_ trait: String, of className: String) -> Setting? {
    for name in TraitTable.lineage(of: className) {
      if let setting = classes[name]?[trait] { return setting }
    }
    return nil
  }

  // MARK: typed reading

  /// - Throws: where the value is not what the trait takes; the error names who said it.
  public func value(_ trait: String, of className: String) throws(ClusterError) -> JSONValue? {
    guard let setting = setting(trait, of: className) else { return nil }
    guard let known = TraitTable.trait(trait, of: className) else { return setting.value }
    do throws(TraitError) { return try known.kind.convert(setting.value, isText: setting.origin.isText) } catch {
      throw ClusterError(
        setting.origin.isCommandLine ? .usage : .failure,
        "\(className).\(trait) should be \(known.kind.expectation), and \(setting.origin) says \(error.shown)",
        advice: known.help)
    }
  }

  public func string(_ trait: String, of className: String) throws(ClusterError) -> String? {
    try value(trait, of: className)?.stringValue
  }
  public func integer(_ trait: String, of className: String) throws(ClusterError) -> Int? {
    try value(trait, of: className)?.intValue
  }
  public func double(_ trait: String, of className: String) throws(ClusterError) -> Double? {
    try value(trait, of: className)?.doubleValue
  }
  public func bool(_ trait: String, of className: String) throws(ClusterError) -> Bool? {
    try value(trait, of: className)?.boolValue
  }
  public func strings(_ trait: String, of className: String) throws(ClusterError) -> [String]? {
    try value(trait, of: className)?.stringArrayValue
  }
  public func integers(_ trait: String, of className: String) throws(ClusterError) -> [Int]? {
    try value(trait, of: className)?.arrayValue?.compactMap(\.intValue)
  }
  /// The members of a dictionary of strings.
  public func dictionary(_ trait: String, of className: String) throws(ClusterError) -> [String: String]? {
    guard let object = try value(trait, of: className)?.objectValue else { return nil }
    return Dictionary(object.members.map { ($0.key, $0.value.stringValue ?? $0.value.text) }) { $1 }
  }

  /// One sentence for each value that no command knows, with the nearest name there is: traitlets warns and goes on, and so do we.
  public func unknownSettings() -> [String] {
    var sentences: [String] = []
    for (className, traits) in classes.sorted(by: { $0.key < $1.key }) {
      guard let known = TraitTable.classes[className] else {
        if TraitTable.isForeign(className) { continue }
        let near = Suggestion.nearest(to: className, among: TraitTable.classes.keys)
        // A class that only a file names may be for another program that reads the file.
        for (trait, setting) in traits.sorted(by: { $0.key < $1.key }) where setting.origin.isCommandLine {
          sentences.append(
            "\(className).\(trait) (\(setting.origin)) has no effect: there is no class \(className)\(near.map { "; did you mean \($0)?" } ?? "")"
          )
        }
        continue
      }
      if known.isOpen { continue }
      let names = TraitTable.traits(of: className).map(\.name)
      for (trait, setting) in traits.sorted(by: { $0.key < $1.key }) where !names.contains(trait) {
        let near = Suggestion.nearest(to: trait, among: names)
        sentences.append(
          "\(className).\(trait) (\(setting.origin)) has no effect: \(className) has no such trait"
            + (near.map { "; did you mean \($0)?" } ?? ""))
      }
    }
    return sentences
  }
}

extension SettingOrigin {
  /// The command line and the environment know only text, which the trait's kind reads.
  var isText: Bool { if case .file = self { false } else { true } }
}
