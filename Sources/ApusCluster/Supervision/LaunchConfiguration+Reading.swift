public import ApusProcess
import Glibc

extension LaunchConfiguration {
  /// - Parameters:
  ///   - command: `start` or `engines`.
  ///   - arguments: for the controller, from the command line.
  ///   - executable: path of this program, which is the controller too.
  /// - Throws: on values that make no sense, launchers that Apus does not have, and a missing interpreter.
  public init(
    _ configuration: Configuration, command: CommandSpecification, selection: ProfileSelection, arguments: [String],
    executable: String,
    _ environment: Environment
  ) throws(ClusterError) {
    let reader = LaunchReader(
      configuration: configuration, command: command, selection: selection, arguments: arguments, executable: executable,
      environment: environment)
    try reader.checkLaunchers()
    let plan = try reader.plan()
    let words = try reader.controllerWords()
    var controller = try reader.controller(words)
    let engine = try reader.engine(plan, controller: &controller)
    self.init(profile: selection.profile, plan: plan, controller: controller, engine: engine)
    clusterID = try configuration.string("cluster_id", of: command.application) ?? ""
    controllerArguments = words.added
    controllerIP = words.ip
    controllerLocation = words.location
    acceptsOldConnectionFiles = words.own != nil && words.reusesFiles
    sendsConnectionInfo = try configuration.bool("send_engines_connection_env", of: "Cluster") ?? true
    cleansLogs = try configuration.bool("clean_logs", of: command.application) ?? reader.isStart
    outputLimit = try configuration.integer("output_limit", of: LaunchReader.engineLauncher) ?? 100
  }
}

/// Reads what a launcher needs to know out of a configuration, a part at a time.
private struct LaunchReader {
  let configuration: Configuration
  let command: CommandSpecification
  let selection: ProfileSelection
  let arguments: [String]
  let executable: String
  let environment: Environment

  static let engineLauncher = "LocalEngineSetLauncher"
  static let controllerLauncher = "LocalControllerLauncher"

  var isStart: Bool { command == .start }

  func checkLaunchers() throws(ClusterError) {
    try LauncherName(try configuration.string("engine_launcher_class", of: "Cluster") ?? "local").requireLocal("engines")
    guard isStart else { return }
    try LauncherName(try configuration.string("controller_launcher_class", of: "Cluster") ?? "local").requireLocal(
      "the controller")
  }

  func plan() throws(ClusterError) -> ClusterLifecycle.Plan {
    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    var plan = ClusterLifecycle.Plan(engines: try configuration.integer("n", of: "Cluster") ?? cores)
    plan.ownsController = isStart
    plan.daemonizes = try configuration.bool("daemonize", of: command.application) ?? false
    plan.controllerTimeout = try duration("connection_info_timeout", Self.controllerLauncher, .seconds(isStart ? 60 : 10))
    plan.delay = isStart ? try duration("delay", "Cluster", .zero) : .zero
    plan.engineDelay = try duration("delay", Self.engineLauncher, .zero)
    plan.engineTimeout = try duration("engine_timeout", "Cluster", .seconds(60))
    plan.earlyShutdown = try duration("early_shutdown", command.application, .seconds(30))
    plan.killAfter = try duration("stop_seconds_until_kill", Self.engineLauncher, .seconds(5))
    return plan
  }

  private func duration(_ trait: String, _ className: String, _ standard: Duration) throws(ClusterError) -> Duration {
    guard let seconds = try configuration.double(trait, of: className), seconds < 1e9 else { return standard }
    return .milliseconds(Int(max(0, seconds) * 1000))
  }

  private var base: Environment {
    var base = environment
    base["IPYTHONDIR"] = selection.ipythonDirectory.location
    // Another cluster's, where this one is started by one of its engines.
    base["IPP_CONNECTION_INFO"] = nil
    return base
  }

  // MARK: the controller

  struct ControllerWords {
    /// A program of the user's in the place of ours.
    let own: [String]?
    let ip: String
    let location: String
    /// From the command line, else from the configuration.
    let added: [String]
    /// All arguments.
    let all: [String]

    var reusesFiles: Bool {
      all.contains { $0 == "--reuse" || $0 == "--restore" || $0.hasPrefix("--IPController.reuse_files") }
    }
  }

  func controllerWords() throws(ClusterError) -> ControllerWords {
    let ip = try configuration.string("controller_ip", of: "Cluster") ?? ""
    let location = try configuration.string("controller_location", of: "Cluster") ?? ""
    let added = arguments.isEmpty ? try configuration.strings("controller_args", of: "Cluster") ?? [] : arguments
    var all = try configuration.strings("controller_args", of: Self.controllerLauncher) ?? []
    if !ip.isEmpty { all.append("--ip=\(ip)") }
    if !location.isEmpty { all.append("--location=\(location)") }
    return ControllerWords(
      own: try configuration.strings("controller_cmd", of: Self.controllerLauncher), ip: ip, location: location, added: added,
      all: all + added)
  }

  func controller(_ words: ControllerWords) throws(ClusterError) -> ChildProcess.Command {
    var controller: ChildProcess.Command
    if let own = words.own, let program = own.first {
      controller = .init(program: program, arguments: own + words.all, environment: base)
    } else {
      // A slip in an argument is told here, and not in the log of a process that ended.
      if isStart { _ = try CommandLineParser.parse(words.all, for: .controller) }
      controller = .init(program: executable, arguments: ["ipcontroller"] + words.all, environment: base)
    }
    for (name, value) in try configuration.dictionary("environment", of: Self.controllerLauncher) ?? [:] {
      controller.environment[name] = value
    }
    return controller
  }

  // MARK: engines

  /// - Parameter controller: is told their Python: a client that asks for Dask gets its scheduler in it.
  func engine(_ plan: ClusterLifecycle.Plan, controller: inout ChildProcess.Command) throws(ClusterError) -> ChildProcess.Command {
    // Before Apus's own directory is put on PYTHONPATH: it must stay there.
    var engineBase = base
    for (name, value) in try configuration.dictionary("environment", of: Self.engineLauncher) ?? [:] { engineBase[name] = value }
    let arguments = try configuration.strings("engine_args", of: Self.engineLauncher) ?? []
    if let words = try configuration.strings("engine_cmd", of: Self.engineLauncher), let program = words.first {
      return .init(program: program, arguments: words + arguments, environment: engineBase)
    }
    if plan.engines == 0 { return .init(program: executable, arguments: ["ipengine"], environment: base) }
    let interpreter = try EngineInterpreter(
      named: try configuration.string("python", of: "IPEngine"), executable: executable, environment)
    controller.environment["APUS_PYTHON"] = interpreter.python
    return interpreter.command(arguments: arguments, engineBase)
  }
}
