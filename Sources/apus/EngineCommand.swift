import ApusProcess
import ApusCluster
import Glibc

/// `apus engine`: becomes `python -m apus.engine`, under the same process id, with all options but `--python`.
struct EngineCommand {
  private var arguments: [String] = []
  private var python: String?

  /// - Throws: where `--python` has no value.
  init(_ given: [String]) throws(ClusterError) {
    var rest = given[...]
    while let argument = rest.popFirst() {
      if argument == "--" {
        arguments += [argument] + rest
        break
      }
      if argument == "--python" {
        guard let path = rest.popFirst() else {
          throw ClusterError(.usage, "--python needs a value", advice: "A path, or a name on PATH.")
        }
        python = path
      } else if argument.hasPrefix("--python=") {
        python = String(argument.dropFirst("--python=".count))
      } else {
        arguments.append(argument)
      }
    }
  }

  /// Whether help or the version is asked for.
  static func action(in arguments: [String]) -> CommandOption.Action? {
    for argument in options(of: arguments) {
      switch argument {
      case "-h", "--help": return .help
      case "--help-all": return .helpAll
      case "--version": return .version
      default: continue
      }
    }
    return nil
  }

  /// Whether something is asked for that all commands do alike: the configuration is to be shown, or its file to be made.
  static func wantsConfiguration(in arguments: [String]) -> Bool {
    options(of: arguments).contains { ["--init", "--show-config", "--show-config-json"].contains($0) }
  }

  /// Without the values of `-c` and `-s`, which may be anything.
  private static func options(of arguments: [String]) -> [String] {
    var previous = ""
    return arguments.prefix { $0 != "--" }.filter { argument in
      defer { previous = argument }
      return !["-c", "-s", "--c", "--s"].contains(previous)
    }
  }

  /// Returns only by throwing.
  func run() throws(ClusterError) -> Never {
    let environment = Environment.current()
    let interpreter = try EngineInterpreter(named: python, executable: CommandContext.pathOfThisProgram(), environment)
    let failure = interpreter.command(arguments: arguments, environment).replaceThisProcess()
    throw ClusterError(failure)
  }
}
