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
    let isStart = command == .start
    let setLauncher = "LocalEngineSetLauncher"
    let controllerLauncher = "LocalControllerLauncher"
    try LauncherName(try configuration.string("engine_launcher_class", of: "Cluster") ?? "local").requireLocal("engines")
    if isStart {
      try LauncherName(try configuration.string("controller_launcher_class", of: "Cluster") ?? "local").requireLocal(
        "the controller")
    }

    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    var plan = ClusterLifecycle.Plan(engines: try configuration.integer("n", of: "Cluster") ?? cores)
    plan.ownsController = isStart
    plan.daemonizes = try configuration.bool("daemonize", of: command.application) ?? false
    func duration(_ trait: String, _ className: String, _ standard: Duration) throws(ClusterError) -> Duration {
      guard let seconds = try configuration.double(trait, of: className), seconds < 1e9 else { return standard }
      return .milliseconds(Int(max(0, seconds) * 1000))
    }
    plan.controllerTimeout = try duration("connection_info_timeout", controllerLauncher, .seconds(isStart ? 60 : 10))
    plan.delay = isStart ? try duration("delay", "Cluster", .zero) : .zero
    plan.engineDelay = try duration("delay", setLauncher, .zero)
    plan.engineTimeout = try duration("engine_timeout", "Cluster", .seconds(60))
    plan.earlyShutdown = try duration("early_shutdown", command.application, .seconds(30))
    plan.killAfter = try duration("stop_seconds_until_kill", setLauncher, .seconds(5))

    var base = environment
    base["IPYTHONDIR"] = selection.ipythonDirectory.location
    // Another cluster's, where this one is started by one of its engines.
    base["IPP_CONNECTION_INFO"] = nil
    let ip = try configuration.string("controller_ip", of: "Cluster") ?? ""
    let location = try configuration.string("controller_location", of: "Cluster") ?? ""
    let added = arguments.isEmpty ? try configuration.strings("controller_args", of: "Cluster") ?? [] : arguments
    var controllerArguments = try configuration.strings("controller_args", of: controllerLauncher) ?? []
    if !ip.isEmpty { controllerArguments.append("--ip=\(ip)") }
    if !location.isEmpty { controllerArguments.append("--location=\(location)") }
    controllerArguments += added

    let ownController = try configuration.strings("controller_cmd", of: controllerLauncher)
    var controller: ChildProcess.Command
    if let words = ownController, let program = words.first {
      controller = .init(program: program, arguments: words + controllerArguments, environment: base)
    } else {
      // A slip in an argument is told here, and not in the log of a process that ended.
      if isStart { _ = try CommandLineParser.parse(controllerArguments, for: .controller) }
      controller = .init(program: executable, arguments: ["ipcontroller"] + controllerArguments, environment: base)
    }
    for (name, value) in try configuration.dictionary("environment", of: controllerLauncher) ?? [:] {
      controller.environment[name] = value
    }

    // Before Apus's own directory is put on PYTHONPATH: it must stay there.
    var engineBase = base
    for (name, value) in try configuration.dictionary("environment", of: setLauncher) ?? [:] { engineBase[name] = value }
    let engineArguments = try configuration.strings("engine_args", of: setLauncher) ?? []
    var engine: ChildProcess.Command
    if let words = try configuration.strings("engine_cmd", of: setLauncher), let program = words.first {
      engine = .init(program: program, arguments: words + engineArguments, environment: engineBase)
    } else if plan.engines == 0 {
      engine = .init(program: executable, arguments: ["ipengine"], environment: base)
    } else {
      let interpreter = try EngineInterpreter(
        named: try configuration.string("python", of: "IPEngine"), executable: executable, environment)
      engine = interpreter.command(arguments: engineArguments, engineBase)
      // A client that asks for Dask gets its scheduler in the engines' Python.
      controller.environment["APUS_PYTHON"] = interpreter.python
    }

    self.init(profile: selection.profile, plan: plan, controller: controller, engine: engine)
    clusterID = try configuration.string("cluster_id", of: command.application) ?? ""
    self.controllerArguments = added
    controllerIP = ip
    controllerLocation = location
    let reuses = controllerArguments.contains { $0 == "--reuse" || $0 == "--restore" || $0.hasPrefix("--IPController.reuse_files") }
    acceptsOldConnectionFiles = ownController != nil && reuses
    sendsConnectionInfo = try configuration.bool("send_engines_connection_env", of: "Cluster") ?? true
    cleansLogs = try configuration.bool("clean_logs", of: command.application) ?? isStart
    outputLimit = try configuration.integer("output_limit", of: setLauncher) ?? 100
  }
}
