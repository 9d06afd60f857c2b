import ApusMessaging
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
    _ environment: Environment, engineCommand: [String]? = nil
  ) throws(ClusterError) {
    let reader = try LaunchReader(
      configuration: configuration, command: command, selection: selection, arguments: arguments, executable: executable,
      environment: environment)
    let kind = try reader.engineLauncher()
    let controllerKind = reader.controllerKind
    let elsewhere = try LauncherReader(
      configuration: configuration, kind: controllerKind, environment: environment, isStart: true, isController: true
    ).controllerLauncher()
    let launchers = LauncherReader(configuration: configuration, kind: kind, environment: environment, isStart: command == .start)
    let launcher = try launchers.launcher(engines: try reader.wantedEngines())
    var plan = try reader.plan(launchers, engines: launcher.count)
    var words = try reader.controllerWords()
    let address = try reader.makeReachable(&words, from: launcher.target)
    if elsewhere != nil { try reader.checkElsewhere(words) }
    var controller = try reader.controller(words)
    let engines = try reader.engines(
      plan, kind: kind, className: launchers.className, command: engineCommand, controller: &controller)
    plan.asksForDemand = plan.ownsController && words.own == nil
    plan.restartsController = plan.ownsController && words.own == nil && words.keepsJournal && elsewhere == nil
    if let elsewhere {
      plan.controllerQueues = elsewhere.queues
      plan.killAfter = max(plan.killAfter, elsewhere.queues ? .seconds(15) : .seconds(5))
      plan.giveUpAfter = plan.giveUpAfter ?? .seconds(60)
    }
    plan.restartLimit = try configuration.integer("controller_restarts", of: "Cluster") ?? plan.restartLimit
    if command == .start {
      plan.restart = try configuration.string("restart", of: "Cluster").flatMap { RestartPolicy.Mode(rawValue: $0) } ?? .never
    }
    plan.supervises = try configuration.bool("stay", of: "Cluster") ?? false
    plan.engineRestartLimit = try configuration.integer("restart_limit", of: "Cluster") ?? plan.engineRestartLimit
    if command == .start, let policy = try reader.policy(launcher.count, kind: kind) {
      plan.policy = policy
      plan.engines = policy.minimum
    }
    plan.restartsTogether = kind == MPILauncher.name
    self.init(profile: selection.profile, plan: plan, controller: controller, engines: engines)
    if let elsewhere {
      controllerLauncher = elsewhere.launcher
      controllerLauncherName = controllerKind
      controllerJob = try reader.controllerJob(controller, words, packageOf: engines)
    }
    self.launcher = launcher.launcher
    launcherName = kind
    reachableAddress = address
    startsElsewhere = launcher.target != .here
    target = launcher.target
    clusterID = try configuration.string("cluster_id", of: command.application) ?? ""
    controllerArguments = words.added
    controllerIP = words.ip
    controllerLocation = words.location
    warning = words.warning
    acceptsOldConnectionFiles = words.own != nil && words.reusesFiles
    cleansLogs = try configuration.bool("clean_logs", of: command.application) ?? reader.isStart
    outputLimit = try configuration.integer("output_limit", of: launchers.className) ?? 100
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

  /// Of the controller's launcher, as the registry has it.
  let controllerKind: String

  init(
    configuration: Configuration, command: CommandSpecification, selection: ProfileSelection, arguments: [String],
    executable: String, environment: Environment
  ) throws(ClusterError) {
    (self.configuration, self.command, self.selection) = (configuration, command, selection)
    (self.arguments, self.executable, self.environment) = (arguments, executable, environment)
    guard command == .start else {
      controllerKind = LocalLauncher.name
      return
    }
    let name = LauncherName(try configuration.string("controller_launcher_class", of: "Cluster") ?? LocalLauncher.name)
    try name.require(oneOf: LauncherRegistry.names, for: "the controller")
    controllerKind = name.entry ?? LocalLauncher.name
  }

  /// ipyparallel's class for it.
  private var controllerLauncher: String {
    LauncherReader(configuration: configuration, kind: controllerKind, environment: environment, isStart: true, isController: true)
      .className
  }

  var isStart: Bool { command == .start }

  /// - Returns: the launcher's name as the registry has it.
  func engineLauncher() throws(ClusterError) -> String {
    let name = LauncherName(try configuration.string("engine_launcher_class", of: "Cluster") ?? LocalLauncher.name)
    try name.require(oneOf: LauncherRegistry.names, for: "engines")
    return name.entry ?? LocalLauncher.name
  }

  /// `nil` where nobody has said.
  func wantedEngines() throws(ClusterError) -> Int? { try configuration.integer("n", of: "Cluster") }

  func plan(_ launchers: LauncherReader, engines: Int?) throws(ClusterError) -> ClusterLifecycle.Plan {
    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    var plan = ClusterLifecycle.Plan(engines: engines ?? cores)
    plan.ownsController = isStart
    plan.daemonizes = try configuration.bool("daemonize", of: command.application) ?? false
    plan.controllerTimeout = try duration("connection_info_timeout", controllerLauncher, .seconds(isStart ? 60 : 10))
    plan.delay = isStart ? try duration("delay", "Cluster", .zero) : .zero
    plan.engineTimeout = try duration("engine_timeout", "Cluster", .seconds(60))
    plan.earlyShutdown = try duration("early_shutdown", command.application, .seconds(30))
    plan.killAfter = .seconds(5)
    switch launchers.kind {
    case LocalLauncher.name:
      plan.engineDelay = try duration("delay", launchers.className, .zero)
      plan.killAfter = try duration("stop_seconds_until_kill", launchers.className, plan.killAfter)
    case MPILauncher.name: plan.killAfter = try duration("stop_seconds_until_kill", launchers.className, plan.killAfter)
    default:
      plan.queues = true
      // Systems take a moment to end jobs in their own order.
      if launchers.kind != SSHLauncher.name { plan.killAfter = .seconds(15) }
      plan.giveUpAfter = try duration("stop_timeout", launchers.className, .seconds(60))
    }
    return plan
  }

  /// - Returns: `nil` for a cluster that keeps its size until somebody wishes otherwise.
  func policy(_ engines: Int?, kind: String) throws(ClusterError) -> AdaptivePolicy? {
    let (least, most) = (try configuration.integer("least", of: "Cluster"), try configuration.integer("most", of: "Cluster"))
    guard least != nil || most != nil else { return nil }
    guard kind != MPILauncher.name else {
      throw ClusterError(
        .usage, "a cluster of MPI ranks cannot grow or shrink: they are one program",
        advice: "Without --min and --max, or with other --engines.")
    }
    let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let minimum = least ?? min(engines ?? 1, most ?? 1)
    let maximum = most ?? max(minimum, engines ?? cores)
    guard minimum <= maximum else {
      throw ClusterError(.usage, "--min is \(minimum), and --max \(maximum)", advice: "At least should be at most.")
    }
    var policy = AdaptivePolicy(minimum: minimum, maximum: maximum)
    policy.grace = try configuration.double("idle", of: "Cluster") ?? policy.grace
    policy.patience = max(0.01, try configuration.double("backlog", of: "Cluster") ?? policy.patience)
    return policy
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
    base[DetachedSupervisor.variable] = nil
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
    var all: [String]
    /// What whoever starts the cluster is to know.
    let warning: String?

    /// Whether somebody has said where the controller listens.
    var saysAddress: Bool {
      all.contains { word in
        ["--ip", "--IPController.ip", "--IPController.engine_ip", "--location", "--enginessh"].contains { word.hasPrefix($0) }
      }
    }

    var keepsJournal: Bool {
      all.contains {
        $0 == "--journal" || $0.hasPrefix("--journal-sync") || $0.hasPrefix("--IPController.journal_sync")
          || $0 == "--IPController.journal=True"
      }
    }

    var reusesFiles: Bool {
      all.contains { $0 == "--reuse" || $0 == "--restore" || $0.hasPrefix("--IPController.reuse_files") }
    }
  }

  func controllerWords() throws(ClusterError) -> ControllerWords {
    let ip = try configuration.string("controller_ip", of: "Cluster") ?? ""
    let location = try configuration.string("controller_location", of: "Cluster") ?? ""
    let added = arguments.isEmpty ? try configuration.strings("controller_args", of: "Cluster") ?? [] : arguments
    var all = try configuration.strings("controller_args", of: controllerLauncher) ?? []
    if !ip.isEmpty { all.append("--ip=\(ip)") }
    if !location.isEmpty { all.append("--location=\(location)") }
    let ports = try configuration.string("ports", of: "Cluster") ?? ""
    if isStart, !ports.isEmpty { all.append("--ports=\(ports)") }
    let own = try configuration.strings("controller_cmd", of: controllerLauncher)
    var warning: String?
    let sync = try configuration.string("journal_sync", of: "Cluster") ?? ""
    var keepsJournal = try configuration.bool("journal", of: "Cluster")
    if keepsJournal == nil { keepsJournal = sync.isEmpty ? nil : true }
    if keepsJournal == nil, try keepsJournalUnasked(own, all + added) {
      let refusal = journalRefusal(try configuration.string("cluster_id", of: command.application) ?? "")
      warning = refusal.map {
        "the controller keeps no journal, and tasks end with it when it dies: \($0)\nWith --journal that is an error, with --no-journal nothing is said."
      }
      keepsJournal = refusal == nil
    }
    if isStart, keepsJournal == true { all.append("--journal") }
    if isStart, !sync.isEmpty { all.append("--journal-sync=\(sync)") }
    return ControllerWords(own: own, ip: ip, location: location, added: added, all: all + added, warning: warning)
  }

  /// Why a journal cannot be kept, as far as can be seen before there is one: nobody asked for it, and so it refuses no start.
  private func journalRefusal(_ clusterID: String) -> String? {
    var path = selection.profile.journal(clusterID: clusterID)
    if FileSystem.exists(path), !FileSystem.isDirectory(path) { return "\(path) is not a directory" }
    while !FileSystem.exists(path), Path.parent(path) != path { path = Path.parent(path) }
    guard access(path, R_OK | W_OK | X_OK) != 0 else { return nil }
    return FileError(path: path, action: "write in", code: errno).description
  }

  /// Whether the controller keeps a journal where nobody has said so for the cluster: in the background, where its launcher can stay with it.
  private func keepsJournalUnasked(_ own: [String]?, _ words: [String]) throws(ClusterError) -> Bool {
    guard try configuration.bool("daemonize", of: command.application) ?? false, own == nil, controllerKind == LocalLauncher.name,
      !words.contains(where: { $0.hasPrefix("--IPController.journal=") })
    else { return false }
    // The controller reads its own files, which a word on its command line would overrule.
    let files = try ConfigurationLoader(environment).load("ipcontroller", profile: selection.profile)
    return try files.configuration.bool("journal", of: "IPController") ?? true
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
    for (name, value) in try configuration.dictionary("environment", of: controllerLauncher) ?? [:] {
      controller.environment[name] = value
    }
    return controller
  }

  /// What of a controller on this host others do not have.
  func checkElsewhere(_ words: ControllerWords) throws(ClusterError) {
    guard words.keepsJournal else { return }
    throw ClusterError(
      .usage, "a journal is kept by a controller of this host, and --controller is '\(controllerKind)'",
      advice: "Without --journal, or with --controller=local.")
  }

  /// The controller as a launcher starts it somewhere else.
  func controllerJob(_ controller: ChildProcess.Command, _ words: ControllerWords, packageOf engines: EngineJob)
    throws(ClusterError)
    -> EngineJob
  {
    var job = EngineJob(profile: selection.profile, clusterID: engines.clusterID, command: controller)
    job.isController = true
    job.foreignCommand = words.own
    job.engineArguments = words.all
    job.packageDirectory = engines.packageDirectory
    job.environmentScript = engines.environmentScript
    job.variables = try configuration.dictionary("environment", of: controllerLauncher) ?? [:]
    // They are found through files or options here; a job has the directories that it is told.
    if controllerKind != SSHLauncher.name {
      job.command.program = "/usr/bin/env"
      if words.own == nil { job.command.arguments = [executable, "controller"] + words.all }
      for name in ["IPYTHONDIR", "APUS_PYTHON"] { if let value = controller.environment[name] { job.variables[name] = value } }
      job.variables["IPP_PROFILE_DIR"] = selection.profile.location
      job.variables["IPP_CLUSTER_ID"] = engines.clusterID
    }
    return job
  }

  // MARK: engines

  /// - Parameter controller: is told their Python: a client that asks for Dask gets its scheduler in it.
  func engines(
    _ plan: ClusterLifecycle.Plan, kind: String, className: String, command given: [String]? = nil,
    controller: inout ChildProcess.Command
  ) throws(ClusterError) -> EngineJob {
    // Before Apus's own directory is put on PYTHONPATH: it must stay there.
    var engineBase = base
    let added = try configuration.dictionary("environment", of: className) ?? [:]
    for (name, value) in added { engineBase[name] = value }
    let arguments = try configuration.strings("engine_args", of: className) ?? []
    let configured = try configuration.strings("engine_cmd", of: className)
    let own = given ?? configured
    var packageDirectory: String?
    let command: ChildProcess.Command
    if let own, let program = own.first {
      command = .init(program: program, arguments: own + arguments, environment: engineBase)
    } else if plan.engines == 0 {
      command = .init(program: executable, arguments: ["ipengine"], environment: base)
    } else {
      let interpreter = try EngineInterpreter(
        named: try configuration.string("python", of: "IPEngine"), executable: executable, environment)
      controller.environment["APUS_PYTHON"] = interpreter.python
      packageDirectory = interpreter.packageDirectory
      let isHere = kind == LocalLauncher.name || kind == MPILauncher.name
      command = interpreter.command(arguments: arguments, preloads: isHere, engineBase)
    }
    var job = EngineJob(
      profile: selection.profile, clusterID: try configuration.string("cluster_id", of: self.command.application) ?? "",
      command: command)
    job.foreignCommand = own
    job.engineArguments = arguments
    job.packageDirectory = packageDirectory
    job.sendsConnectionInfo = try configuration.bool("send_engines_connection_env", of: "Cluster")
    job.variables = added
    if let script = try configuration.string("environment_script", of: "Cluster"), !script.isEmpty {
      // On other hosts the home directory is another one: their shell knows it.
      job.environmentScript = script.hasPrefix("~") && kind != SSHLauncher.name ? Path.expanded(script, environment) : script
    }
    if let limit = try configuration.string("time_limit", of: "Cluster").flatMap({ TimeLimit($0) }) {
      job.variables[EngineJob.timeLimit] = String(limit.seconds)
    }
    if let grace = try configuration.double("drain_grace", of: "Cluster") { job.variables[EngineJob.grace] = String(grace) }
    if try configuration.bool("keep_ids", of: "Cluster") ?? false { job.variables[EngineJob.keepsID] = "1" }
    // Locally they are in the command's environment already.
    for name in ["IPYTHONDIR", "PYTHONPATH"] { if let value = command.environment[name] { job.variables[name] = value } }
    return job
  }

  // MARK: addresses

  /// A controller that engines of other hosts are to reach must listen where they are, and say so: unless somebody has decided on it.
  /// - Returns: its address, for people.
  func makeReachable(_ words: inout ControllerWords, from target: LauncherReader.Target) throws(ClusterError) -> String? {
    guard isStart, words.ip.isEmpty, words.location.isEmpty, !words.saysAddress else { return nil }
    guard controllerKind == LocalLauncher.name else {
      // Clients and engines are on other hosts than it is, and it says itself where that is. Over ssh it has its files on its own host.
      if controllerKind != SSHLauncher.name, try profileSaysAddress() { return nil }
      words.all.append("--ip=*")
      return nil
    }
    if target == .here { return nil }
    if try profileSaysAddress() { return nil }
    let address = ReachableAddress.of(target, environment)
    words.all += ["--ip=*", "--location=\(address)"]
    return address
  }

  /// The controller reads its own files, which a word on its command line would overrule.
  private func profileSaysAddress() throws(ClusterError) -> Bool {
    let files = try ConfigurationLoader(environment).load("ipcontroller", profile: selection.profile)
    return ["ip", "engine_ip", "location", "engine_ssh_server"].contains {
      files.configuration.setting($0, of: "IPController") != nil
    }
  }
}
