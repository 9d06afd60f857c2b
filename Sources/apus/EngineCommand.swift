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

  /// Whether help or the version is asked for, outside of the values of `-c` and `-s`.
  static func action(in arguments: [String]) -> CommandOption.Action? {
    var previous = ""
    for argument in arguments {
      defer { previous = argument }
      if argument == "--" { return nil }
      if previous == "-c" || previous == "-s" || previous == "--c" || previous == "--s" { continue }
      switch argument {
      case "-h", "--help": return .help
      case "--help-all": return .helpAll
      case "--version": return .version
      default: continue
      }
    }
    return nil
  }

  /// Returns only by throwing.
  func run() throws(ClusterError) -> Never {
    let environment = Environment.current()
    let interpreter = try EngineInterpreter(named: python, executable: CommandContext.pathOfThisProgram(), environment)
    let failure = interpreter.command(arguments: arguments, environment).replaceThisProcess()
    throw failure
  }
}
