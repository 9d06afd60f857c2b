import ArgumentParser
import Glibc

/// Which controller is measured.
struct ControllerOptions: ParsableArguments {
  @Option(help: "Measure a running controller: the file for clients.") var clientFile: String?
  @Option(help: "Measure a running controller: the file for engines.") var engineFile: String?
  @Option(help: "Measure the running controller of this profile.") var profileDir: String?
  @Option(help: "The process of a running controller, for its processor time and memory.") var pid: Int32?
  @Option(
    help: ArgumentHelp(
      "Start this controller in a temporary profile and stop it at the end.",
      discussion: """
        Words are divided by spaces. {profile} stands for the profile's directory; without it --profile-dir=<directory> is added. By \
        default it is the apus beside this program: "apus controller".
        """)) var controller: String?
  @Option(help: "More words for the started controller, divided by commas or spaces.") var controllerOptions: String = ""

  /// Whether the controller is somebody else's.
  var isAttached: Bool { clientFile != nil || engineFile != nil || profileDir != nil }

  func validate() throws {
    if isAttached, controller != nil { throw ValidationError("give either a running controller or --controller") }
    if (clientFile == nil) != (engineFile == nil) { throw ValidationError("give both --client-file and --engine-file") }
  }

  /// - Parameter options: for a controller that is started here.
  func open(_ options: [String]) throws(LoadError) -> RunningController {
    if let clientFile, let engineFile { return try RunningController(clientFile: clientFile, engineFile: engineFile, process: pid) }
    if let profileDir {
      return try RunningController(
        clientFile: "\(profileDir)/security/ipcontroller-client.json",
        engineFile: "\(profileDir)/security/ipcontroller-engine.json",
        process: pid)
    }
    let command = if let controller { controller } else { try Self.beside() }
    let words = command.split(separator: " ").map { String($0) }
    guard !words.isEmpty else { throw LoadError("--controller names no program") }
    return try RunningController(
      starting: words, options: options + controllerOptions.split { " ,".contains($0) }.map { String($0) })
  }

  private static func beside() throws(LoadError) -> String {
    let own = try ChildProcess.ownPath()
    let program = "\(own[..<(own.lastIndex(of: "/") ?? own.startIndex)])/apus"
    guard access(program, X_OK) == 0 else {
      throw LoadError("there is no \(program); say what to measure with --controller or --profile-dir")
    }
    return "\(program) controller"
  }
}
