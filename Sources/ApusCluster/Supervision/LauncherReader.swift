import ApusMessaging
import ApusProcess

/// Makes the launcher of engines that a configuration asks for.
struct LauncherReader {
  /// Where engines run, seen from this host.
  enum Target: Sendable, Hashable {
    case here
    /// The hosts of a batch system, which nobody knows before.
    case anywhere
    /// What ssh is given, with its command.
    case host([String])
  }

  let configuration: Configuration
  /// As the registry names it.
  let kind: String
  let environment: Environment
  let isStart: Bool
  /// Whether it is the controller that is to be started.
  var isController = false

  /// ipyparallel's class of engine sets, or of controllers.
  var className: String { "\(stem)\(isController ? "Controller" : "EngineSet")Launcher" }

  private var stem: String {
    switch kind {
    case LocalLauncher.name: "Local"
    case SSHLauncher.name: "SSH"
    case MPILauncher.name: "MPI"
    default: LauncherRegistry.batchSystem(named: kind).map { type(of: $0).classStem } ?? "Local"
    }
  }

  /// - Parameter engines: as many as were asked for; `nil` where nobody has said.
  /// - Returns: the launcher, how many engines it is to start (`nil`: as many as there are cores), and where they run.
  func launcher(engines: Int?) throws(ClusterError) -> (launcher: any Launcher, count: Int?, target: Target) {
    let hosts = try configuration.string("hosts", of: "Cluster").flatMap { $0.isEmpty ? nil : $0 }.map {
      Path.absolute(Path.expanded($0, environment))
    }
    if hosts != nil, kind != SSHLauncher.name, kind != MPILauncher.name {
      throw ClusterError(.usage, "--hosts is for --engines=ssh and --engines=mpi", advice: "A batch system has hosts of its own.")
    }
    switch kind {
    case LocalLauncher.name:
      try refuseBatchOptions()
      return (LocalLauncher(), engines, .here)
    case MPILauncher.name:
      try refuseBatchOptions()
      return (try mpi(hosts), engines, hosts == nil ? .here : .anywhere)
    case SSHLauncher.name:
      try refuseBatchOptions()
      return try ssh(hosts, engines)
    default:
      guard let system = LauncherRegistry.batchSystem(named: kind) else {
        throw ClusterError(.usage, "there is no launcher '\(kind)'")
      }
      return (BatchLauncher(system, try batch(type(of: system)), environment), engines, .anywhere)
    }
  }

  /// - Returns: the launcher of the controller, and whether it may wait in a queue; `nil` where it is a process of this host.
  func controllerLauncher() throws(ClusterError) -> (launcher: any Launcher, queues: Bool)? {
    switch kind {
    case LocalLauncher.name: return nil
    case MPILauncher.name: return (try mpi(nil), false)
    case SSHLauncher.name:
      let named = try configuration.string("controller_host", of: "Cluster") ?? ""
      let location = try text("location")
      let name = named.isEmpty ? location.isEmpty ? try text("hostname") : location : named
      guard var host = SSHHost(name) else {
        throw ClusterError(
          .usage, name.isEmpty ? "--controller=ssh needs a host" : "'\(name)' is no host",
          advice: "--controller-host=HOST names it, or c.SSHControllerLauncher.hostname = 'host1'.")
      }
      let user = try text("user")
      if !user.isEmpty, !host.destination.contains("@") { host.destination = "\(user)@\(host.destination)" }
      return (SSHLauncher([host], counts: [1], try sshOptions(), environment), false)
    default:
      guard let system = LauncherRegistry.batchSystem(named: kind) else {
        throw ClusterError(.usage, "there is no launcher '\(kind)'")
      }
      var options = try batch(type(of: system))
      options.perJob = nil
      return (BatchLauncher(system, options, environment), true)
    }
  }

  private func refuseBatchOptions() throws(ClusterError) {
    // The controller may be a job where the engines are none.
    let controller = LauncherName(try configuration.string("controller_launcher_class", of: "Cluster") ?? LocalLauncher.name).entry
    let ofJobs = isStart && controller.map { LauncherRegistry.batchSystem(named: $0) != nil } ?? false
    for (option, trait) in [("--partition", "queue"), ("--time", "time_limit"), ("--account", "account"), ("--per-job", "per_job")]
    {
      if ofJobs, trait == "queue" || trait == "account" { continue }
      guard let setting = configuration.setting(trait, of: "Cluster") else { continue }
      throw ClusterError(
        .usage,
        "\(setting.origin.isCommandLine ? setting.origin.description : option) is for batch systems, and --engines is '\(kind)'",
        advice: "Like --engines=slurm.")
    }
  }

  private func text(_ trait: String) throws(ClusterError) -> String { try configuration.string(trait, of: className) ?? "" }

  private func words(_ trait: String) throws(ClusterError) -> [String]? {
    guard let words = try configuration.strings(trait, of: className), !words.isEmpty, words != [""] else { return nil }
    return words
  }

  // MARK: MPI

  private func mpi(_ hosts: String?) throws(ClusterError) -> MPILauncher {
    var options = MPILauncher.Options()
    options.command = try words("mpi_cmd") ?? options.command
    options.arguments = try words("mpi_args") ?? []
    options.hostsFile = hosts
    if let hosts { _ = try HostsFile(reading: hosts) }
    return MPILauncher(options)
  }

  // MARK: SSH

  private func ssh(_ file: String?, _ engines: Int?) throws(ClusterError) -> (any Launcher, Int?, Target) {
    var hosts: [SSHHost] = []
    if let file {
      hosts = try HostsFile(reading: file).hosts
    } else if let table = try configuration.value("engines", of: className)?.objectValue {
      for (name, value) in table.members { hosts.append(try SSHHost.read(name, value)) }
    }
    let user = try text("user")
    for index in hosts.indices where !user.isEmpty && !hosts[index].destination.contains("@") {
      hosts[index].destination = "\(user)@\(hosts[index].destination)"
    }
    guard let first = hosts.first else {
      throw ClusterError(
        .usage, "--engines=ssh needs hosts", advice: "--hosts=FILE names them, or c.SSHEngineSetLauncher.engines = {'host1': 2}.")
    }
    let options = try sshOptions()
    let counts = SSHHost.share(engines, among: hosts)
    let target = options.sshCommand + options.sshArguments + (first.port.map { ["-p", String($0)] } ?? []) + [first.destination]
    return (SSHLauncher(hosts, counts: counts, options, environment), counts.reduce(0, +), .host(target))
  }

  private func sshOptions() throws(ClusterError) -> SSHLauncher.Options {
    var options = SSHLauncher.Options()
    options.sshCommand = try words("ssh_cmd") ?? options.sshCommand
    options.sshArguments = try words("ssh_args") ?? []
    let python = try text("remote_python")
    if !python.isEmpty { options.python = python }
    options.profileDirectory = try text("remote_profile_dir")
    if let seconds = try configuration.double("connect_timeout", of: className) {
      guard seconds > 0, seconds < 1e6 else {
        throw ClusterError(.usage, "\(className).connect_timeout is \(seconds)", advice: "It is a number of seconds.")
      }
      options.connectTimeout = .milliseconds(Int(seconds * 1000))
    }
    options.files = try files()
    return options
  }

  /// `to_send`, a list of pairs (here, there).
  private func files() throws(ClusterError) -> [String: String] {
    var files: [String: String] = [:]
    for pair in try configuration.value("to_send", of: className)?.arrayValue ?? [] {
      guard let words = pair.stringArrayValue, words.count == 2 else {
        throw ClusterError(.failure, "\(className).to_send should be a list of pairs (here, there), and has \(pair.text)")
      }
      files[words[0]] = words[1]
    }
    return files
  }

  // MARK: batch systems

  private func batch(_ system: any BatchSystem.Type) throws(ClusterError) -> BatchOptions {
    var options = BatchOptions()
    options.className = className
    options.submitCommand = try words("submit_command")
    options.deleteCommand = try words("delete_command")
    options.signalCommand = try words("signal_command")
    options.jobIDPattern = try text("job_id_regexp")
    if options.jobIDPattern == "" { options.jobIDPattern = nil }
    options.jobIDGroup = try configuration.integer("job_id_regexp_group", of: className) ?? 0
    options.template = try template()
    let name = try text("batch_file_name")
    if !name.isEmpty { options.scriptPath = Path.absolute(Path.expanded(name, environment)) }
    let output = try text("output_file")
    if !output.isEmpty { options.outputFile = Path.absolute(Path.expanded(output, environment)) }
    options.namespace = try configuration.dictionary("namespace", of: className) ?? [:]
    options.queue = try text("queue")
    if let queue = try commandLine("queue") { options.queue = queue }
    options.account = try text("account")
    if let account = try commandLine("account") { options.account = account }
    options.qos = try text("qos")
    options.timeLimit = try configuration.value("timelimit", of: className).map { $0.stringValue ?? $0.text } ?? ""
    // That of engines: what they report to must not end before them.
    if !isController, let limit = try commandLine("time_limit") {
      guard let limit = TimeLimit(limit) else {
        throw ClusterError(
          .usage, "--time is '\(limit)'", advice: "Like 90s, 30m, 2h, 1:30:00 or 1-12:00:00; a number alone is minutes.")
      }
      options.timeLimit = limit.text(for: system)
    }
    options.extra = try configuration.value("options", of: className)?.stringValue ?? ""
    options.perJob = try configuration.integer("per_job", of: "Cluster")
    // One line of a script each: a second line would be the shell's.
    for value in [options.queue, options.account, options.qos, options.timeLimit, options.extra]
    where value.contains(where: \.isNewline) {
      throw ClusterError(.failure, "a value of \(className) has a line break in it: \(value.debugDescription)")
    }
    return options
  }

  private func commandLine(_ trait: String) throws(ClusterError) -> String? {
    guard let text = try configuration.string(trait, of: "Cluster"), !text.isEmpty else { return nil }
    return text
  }

  private func template() throws(ClusterError) -> String? {
    let given = try text("batch_template")
    if !given.isEmpty { return given }
    let path = try text("batch_template_file")
    if path.isEmpty { return nil }
    do throws(FileError) { return try FileSystem.text(of: Path.absolute(Path.expanded(path, environment))) } catch {
      throw ClusterError(.missingFile, "the template of \(className).batch_template_file: \(error)")
    }
  }
}
