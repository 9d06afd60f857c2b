/// One thing that can be configured.
public struct Trait: Sendable, Hashable {
  public let name: String
  public let kind: TraitKind
  /// As Python writes it.
  public let standard: String
  public let help: String

  init(_ name: String, _ kind: TraitKind, _ standard: String, _ help: String) {
    self.name = name
    self.kind = kind
    self.standard = standard
    self.help = help
  }
}

/// A class of ipyparallel's configuration.
public struct TraitClass: Sendable, Hashable {
  public let name: String
  /// What it inherits traits from, nearest first; settings of those hold for it too.
  public let parents: [String]
  public let help: String
  public let traits: [Trait]
  /// Whether more traits exist that only other parties know, and that nobody should be warned about.
  public let isOpen: Bool

  init(_ name: String, parents: [String] = [], _ help: String, isOpen: Bool = false, _ traits: [Trait] = []) {
    self.name = name
    self.parents = parents
    self.isOpen = isOpen
    self.help = help
    self.traits = traits
  }
}

/// Every class and trait that the commands know: ipyparallel's names, so that its configuration files and command lines work unchanged.
public enum TraitTable {
  public static let classes: [String: TraitClass] = Dictionary(
    uniqueKeysWithValues: (applicationClasses + controllerClasses + engineClasses + clusterClasses + clientClasses).map {
      ($0.name, $0)
    })

  /// Names of earlier ipyparallel, which still have an effect.
  static let formerNames = [
    "IPController": ["IPControllerApp", "HubFactory"], "IPEngine": ["IPEngineApp", "EngineFactory"], "IPCluster": ["IPClusterApp"],
  ]

  /// The class itself, then what it descends from, nearest first.
  static func lineage(of name: String) -> [String] {
    var names = [name] + (formerNames[name] ?? [])
    for parent in classes[name]?.parents ?? [] {
      for ancestor in lineage(of: parent) where !names.contains(ancestor) { names.append(ancestor) }
    }
    return names
  }

  public static func traits(of name: String) -> [Trait] { lineage(of: name).flatMap { classes[$0]?.traits ?? [] } }

  public static func trait(_ trait: String, of name: String) -> Trait? {
    for ancestor in lineage(of: name) {
      if let found = classes[ancestor]?.traits.first(where: { $0.name == trait }) { return found }
    }
    return nil
  }

  /// Classes of IPython and of the kernel: a profile that is shared with IPython is full of them.
  static func isForeign(_ name: String) -> Bool {
    if formerNames.values.contains(where: { $0.contains(name) }) { return true }
    let known = [
      "InteractiveShell", "ZMQInteractiveShell", "TerminalInteractiveShell", "InteractiveShellApp", "TerminalIPythonApp",
      "IPKernelApp",
      "IPythonKernel", "Kernel", "HistoryManager", "HistoryAccessor", "ScriptMagics", "StoreMagics", "LoggingMagics", "Completer",
      "IPCompleter", "DisplayFormatter", "PlainTextFormatter", "BaseFormatter", "InlineBackend", "ConnectionFileMixin",
      "KernelManager",
      "NotebookApp", "ServerApp", "ExtensionApp",
    ]
    return known.contains(name) || ["Formatter", "Magics", "Launcher"].contains { name.hasSuffix($0) }
  }
}
