import ApusProcess
import ApusCluster
import ApusController
import ApusMessaging
import Transport

extension ControllerConfiguration {
  /// From ipyparallel's traits (features section 1.2) and the environment (protocol section 1.6).
  /// - Throws: on values that make no sense, and on what Apus does not have.
  init(_ configuration: Configuration, profile: ProfileDirectory, executable: String, _ environment: Environment)
    throws(ClusterError)
  {
    self.init(profileDirectory: profile.location)
    clusterID = try configuration.string("cluster_id", of: "IPController") ?? ""
    try readAddresses(configuration)
    try readFiles(configuration)
    try readSecurity(configuration, environment)
    try readSchedulers(configuration)
    try readDatabase(configuration, environment)
    try readJournal(configuration)
    // Only for a client that asks for Dask: a controller needs no Python.
    if let interpreter = try? EngineInterpreter(named: nil, executable: executable, environment) {
      python = interpreter.python
      pythonPath = interpreter.packageDirectory
    }
  }

  private mutating func readAddresses(_ configuration: Configuration) throws(ClusterError) {
    for trait in ["transport", "client_transport", "engine_transport"] {
      guard let transport = try configuration.string(trait, of: "IPController"), transport != "tcp" else { continue }
      throw ClusterError(.unsupported, "the transport '\(transport)' of IPController.\(trait) is not in Apus", advice: "Use tcp.")
    }
    if let ip = try configuration.string("ip", of: "IPController"), !ip.isEmpty {
      clientIP = ip
      engineIP = ip
    }
    clientIP = try configuration.string("client_ip", of: "IPController") ?? clientIP
    engineIP = try configuration.string("engine_ip", of: "IPController") ?? engineIP
    clientIP = try Self.address(clientIP)
    engineIP = try Self.address(engineIP)
    if let name = try configuration.string("location", of: "IPController"), !name.isEmpty { location = name }
    clientSSH = try configuration.string("ssh_server", of: "IPController") ?? ""
    engineSSH = try configuration.string("engine_ssh_server", of: "IPController") ?? ""
    ports = try configuration.integers("ports", of: "IPController") ?? []
    clientPorts = try configuration.integers("client_ports", of: "IPController") ?? []
    enginePorts = try configuration.integers("engine_ports", of: "IPController") ?? []
    // ipyparallel's names of before version 7. Pairs were (client, engine).
    func port(_ trait: String) throws(ClusterError) -> [Int] {
      let port = try configuration.integer(trait, of: "IPController") ?? 0
      return (1...65_535).contains(port) ? [port] : []
    }
    enginePorts += try port("regport")
    clientPorts += try port("notifier_port")
    ports += try port("mon_port")
    enginePorts += try configuration.integers("hb", of: "IPController") ?? []
    for trait in ["control", "mux", "task", "iopub"] {
      guard let pair = try configuration.integers(trait, of: "IPController"), let first = pair.first, let last = pair.last else {
        continue
      }
      clientPorts.append(first)
      if pair.count > 1 { enginePorts.append(last) }
    }
  }

  private static func address(_ name: String) throws(ClusterError) -> String {
    if let address = ControllerAddress.listening(name) { return address }
    throw ClusterError(
      .cannotListen, "the name '\(name)' does not resolve to an address to listen on",
      advice: "--ip takes an address of this machine, a name that resolves to one, or * for all.")
  }

  private mutating func readFiles(_ configuration: Configuration) throws(ClusterError) {
    clientFile = try configuration.string("client_json_file", of: "IPController")
    engineFile = try configuration.string("engine_json_file", of: "IPController")
    reuseFiles = try configuration.bool("reuse_files", of: "IPController") ?? false
    restoreEngines = try configuration.bool("restore_engines", of: "IPController") ?? false
  }

  private mutating func readSecurity(_ configuration: Configuration, _ environment: Environment) throws(ClusterError) {
    // `--secure` says "a new one", whatever the environment holds.
    if let setting = configuration.setting("key", of: "Session"), !setting.value.isNull {
      key = try configuration.string("key", of: "Session")
    }
    if let path = try configuration.string("keyfile", of: "Session"), !path.isEmpty {
      do throws(FileError) {
        let text = try FileSystem.text(of: Path.expanded(path, environment))
        key = String(text.reversed().drop { $0.isNewline }.reversed())
      } catch {
        throw ClusterError(.missingFile, "the key file: \(error)", advice: "--keyfile names a file that holds the key as text.")
      }
      if key?.isEmpty ?? true {
        throw ClusterError(.failure, "the key file \(path) is empty", advice: "A key is text; leave --keyfile out for a new one.")
      }
    }
    if let packer = try configuration.string("packer", of: "Session"), packer != "json", packer != "orjson" {
      throw ClusterError(.unsupported, "the packer '\(packer)' is not in Apus", advice: "Use json; orjson is the same on the wire.")
    }
    if let id = try configuration.string("session", of: "Session"), !id.isEmpty { identity = SessionID(id) }
    if let name = try configuration.string("username", of: "Session"), !name.isEmpty { username = name }
    localSockets = try configuration.bool("local_sockets", of: "IPController") ?? true
    allowsInsecure = try configuration.bool("allow_insecure", of: "IPController") ?? false
    enableCurve = try configuration.bool("enable_curve", of: "IPController") ?? (environment["IPP_ENABLE_CURVE"] != "0")
    guard enableCurve else { return }
    let publicKey = try configuration.string("curve_publickey", of: "IPController") ?? environment["IPP_CURVE_PUBLICKEY"] ?? ""
    let secretKey = try configuration.string("curve_secretkey", of: "IPController") ?? environment["IPP_CURVE_SECRETKEY"] ?? ""
    if publicKey.isEmpty, secretKey.isEmpty { return }
    guard publicKey.utf8.count == 40, secretKey.utf8.count == 40 else {
      throw ClusterError(
        .failure, "a CURVE key has 40 characters (Z85), and public and secret key are given together",
        advice: "Leave both out for a new pair, or set IPP_CURVE_PUBLICKEY and IPP_CURVE_SECRETKEY.")
    }
    curveKeys = CurveKeyPair(publicKey: publicKey, secretKey: secretKey)
  }

  private mutating func readSchedulers(_ configuration: Configuration) throws(ClusterError) {
    if let period = try configuration.integer("period", of: "HeartMonitor") { heartbeatPeriod = .milliseconds(period) }
    maximumHeartbeatMisses = try configuration.integer("max_heartmonitor_misses", of: "HeartMonitor") ?? maximumHeartbeatMisses
    if let timeout = try configuration.integer("registration_timeout", of: "IPController"), timeout > 0 {
      registrationTimeout = .seconds(timeout)
    }
    if let name = try configuration.string("scheme_name", of: "TaskScheduler"), let policy = SchedulingPolicy(rawValue: name) {
      scheme = policy
    }
    if let mark = try configuration.integer("hwm", of: "TaskScheduler") {
      highWaterMark = mark
      // Who names a mark means it.
      if configuration.setting("hwm", of: "TaskScheduler") != nil { lookAhead = 0 }
    }
    finishedTasks = try configuration.integer("finished_tasks", of: "TaskScheduler") ?? finishedTasks
    historyLimit = try configuration.integer("history_limit", of: "IPController") ?? historyLimit
    broadcastDepth = try configuration.integer("broadcast_scheduler_depth", of: "IPController") ?? broadcastDepth
    guard broadcastDepth <= 10 else {
      throw ClusterError(
        .failure, "IPController.broadcast_scheduler_depth is \(broadcastDepth): that is more than 1024 leaves", advice: "Up to 10.")
    }
  }

  private mutating func readJournal(_ configuration: Configuration) throws(ClusterError) {
    // Who says how to write one wants one.
    let isNamed = configuration.setting("journal_sync", of: "IPController") != nil
    guard try configuration.bool("journal", of: "IPController") ?? isNamed else { return }
    var settings = JournalConfiguration()
    if let name = try configuration.string("journal_sync", of: "IPController"), let sync = JournalConfiguration.Sync(rawValue: name)
    {
      settings.sync = sync
    }
    settings.sizeLimit = try configuration.integer("journal_limit", of: "IPController") ?? settings.sizeLimit
    if let seconds = try configuration.integer("journal_engine_timeout", of: "IPController") {
      settings.engineTimeout = .seconds(seconds)
    }
    journal = settings
  }

  private mutating func readDatabase(_ configuration: Configuration, _ environment: Environment) throws(ClusterError) {
    let name = try configuration.string("db_class", of: "IPController") ?? "DictDB"
    switch name.split(separator: ".").last?.lowercased() {
    case "dictdb": database = .memory
    case "sqlitedb": database = .sqlite
    case "nodb": database = .none
    case "mongodb":
      throw ClusterError(
        .unsupported, "the task database MongoDB is not in Apus", advice: "--sqlitedb keeps tasks in a file, --dictdb in memory.")
    default:
      throw ClusterError(.failure, "there is no task database '\(name)'", advice: "There are DictDB, SQLiteDB and NoDB.")
    }
    recordLimit = try configuration.integer("record_limit", of: "DictDB") ?? recordLimit
    sizeLimit = try configuration.integer("size_limit", of: "DictDB") ?? sizeLimit
    if let fraction = try configuration.double("cull_fraction", of: "DictDB") {
      guard (0...1).contains(fraction) else {
        throw ClusterError(.failure, "DictDB.cull_fraction is \(fraction)", advice: "A part of the records, from 0 to 1.")
      }
      cullFraction = fraction
    }
    let file = try configuration.string("filename", of: "SQLiteDB") ?? "tasks.db"
    let directory = try configuration.string("location", of: "SQLiteDB") ?? ""
    sqliteFile = Path.join(directory.isEmpty ? profileDirectory : Path.expanded(directory, environment), file)
    if let table = try configuration.string("table", of: "SQLiteDB") {
      sqliteTable = table.isEmpty ? "ipython-\(SessionID.random())" : table
    }
  }
}
