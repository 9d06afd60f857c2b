public import ApusMessaging
import Glibc

/// `security/cluster-<id>.json`: how a cluster that runs is found again, by us and by `ipyparallel.Cluster.from_file()`.
///
/// The schema is ipyparallel's (features section 6): whatever else stands in the file is kept when it is written again.
public struct ClusterFile: Sendable, Hashable {
  public struct Process: Sendable, Hashable {
    public var pid: Int32
    public var outputFile: String
    /// When it began, as the system tells it, where that is known: its number may be another's by now.
    public var began: String?
    /// What else others have said of it.
    var others = JSONObject()
    public init(pid: Int32, outputFile: String, began: String? = nil) {
      self.pid = pid
      self.outputFile = outputFile
      self.began = began
    }

    func isSame(as other: Process?) -> Bool { pid == other?.pid && (began == nil || other?.began == nil || began == other?.began) }
  }

  /// Engines that were started together.
  public struct EngineSet: Sendable, Hashable {
    /// Engines that were asked for.
    public var count: Int
    /// By their index in the set: processes of this host, each an engine. Launchers other than the local one name none.
    public var engines: [String: Process]
    /// What its launcher keeps, where that is not the local one: it is written back as it is.
    var state: JSONObject?
    /// Which launcher that is, where the set itself says so.
    var launcher: String? { state?["apus"]?["launcher"]?.stringValue }
    /// What else others have said of a set without a state of its own.
    var others = JSONObject()

    public init(count: Int, engines: [String: Process]) {
      self.count = count
      self.engines = engines
    }
  }

  public var clusterID: String
  public var profile: String
  public var count: Int?
  public var controllerArguments: [String] = []
  public var controllerIP = ""
  public var controllerLocation = ""
  /// Seconds.
  public var delay = 0.0
  /// Names of launchers: `local`, `ssh`, or a class path.
  public var controllerLauncher = "local"
  public var engineLauncher = "local"
  public var controller: Process?
  /// The launcher that watches over the cluster; only Apus's files have one.
  public var supervisor: Process?
  /// Whether it starts the controller again when that dies.
  public var restartsController = true
  public var engineSets: [String: EngineSet] = [:]
  /// Engines that ended before the cluster did, oldest first.
  public var ended: [EndedEngine] = []
  /// Other launchers that start engines for it, or watch over some: `apus engines`.
  var launchers: [Process] = []
  /// Connection files that were there before a controller elsewhere was started, with their versions: they are another's.
  var formerFiles: [String: String] = [:]
  /// Path of the program that is its controller and its launcher itself; `nil` for those of `apus start`.
  public var program: String?
  /// The host of that program, or of the launcher that has written the file, and the start of that host, where they are known: on another host
  /// numbers of processes say nothing.
  public var host: String?
  var boot: String?
  /// The class that wrote the file, as Python names it.
  var className = "ipyparallel.cluster.cluster.Cluster"
  var originalController: JSONObject?
  /// What others have put there, and we know nothing of.
  var others = ForeignMembers()

  public init(clusterID: String, profile: String) {
    self.clusterID = clusterID
    self.profile = profile
  }

  /// How engines were started, for people: `Local`, `Slurm`, `Local+SSH`.
  public var launcherTitle: String {
    let titles = Set(engineSets.values.map { launcher(of: $0).title })
    return titles.isEmpty ? LauncherName(engineLauncher).title : titles.sorted().joined(separator: "+")
  }

  /// What a launcher of ours keeps of a controller that is no process of this host.
  var controllerElsewhere: JSONObject? {
    guard !LauncherName(controllerLauncher).isLocal, let state = originalController, state["apus"] != nil else { return nil }
    return state
  }

  /// What the marks of all processes that were started for it begin with.
  var mark: String { "\(profile):\(clusterID):" }

  /// Whether all of it is processes of this host.
  public var isLocal: Bool { LauncherName(controllerLauncher).isLocal && engineSets.values.allSatisfy { launcher(of: $0).isLocal } }

  /// How the engines of a set were started.
  func launcher(of set: EngineSet) -> LauncherName { LauncherName(set.launcher ?? (set.state == nil ? "local" : engineLauncher)) }

  /// More of these are not kept.
  private static let mostEnded = 1000

  // MARK: reading

  /// - Throws: with `ExitCode.damagedFile`.
  public init(reading path: String) throws(ClusterError) {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try AtomicFile.read(path) } catch {
      throw ClusterError(.missingFile, "the cluster file could not be read: \(error)")
    }
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue(parsing: bytes) } catch {
      throw ClusterError(.damagedFile, "the cluster file \(path) is damaged: it is \(error)", advice: Self.remedy)
    }
    try self.init(json, path: path)
  }

  private static let remedy = "'apus clean' removes it; processes of the cluster, if there are any, must be ended by hand."

  init(_ json: JSONValue, path: String) throws(ClusterError) {
    guard let cluster = json["cluster"]?.objectValue else {
      throw ClusterError(.damagedFile, "the cluster file \(path) is damaged: it has no object \"cluster\"", advice: Self.remedy)
    }
    let name = Path.name(path).dropFirst("cluster-".count).dropLast(".json".count)
    clusterID = cluster["cluster_id"]?.stringValue ?? String(name)
    profile = cluster["profile_dir"]?.stringValue ?? Path.parent(Path.parent(path))
    count = cluster["n"]?.intValue
    controllerArguments = cluster["controller_args"]?.stringArrayValue ?? []
    controllerIP = cluster["controller_ip"]?.stringValue ?? ""
    controllerLocation = cluster["controller_location"]?.stringValue ?? ""
    delay = cluster["delay"]?.doubleValue ?? 0
    className = cluster["class"]?.stringValue ?? className
    controllerLauncher = json["controller"]?["class"]?.stringValue ?? "local"
    if let state = json["controller"]?["state"]?.objectValue {
      controller = Self.process(state)
      originalController = state
    }
    supervisor = json["supervisor"]?["state"]?.objectValue.flatMap(Self.process)
    restartsController = json["supervisor"]?["restarts_controller"]?.boolValue ?? true
    engineLauncher = json["engines"]?["class"]?.stringValue ?? "local"
    for (id, set) in json["engines"]?["sets"]?.objectValue?.members ?? [] {
      guard let state = set.objectValue else { continue }
      engineSets[id] = read(state)
    }
    ended = (json["apus"]?["ended"]?.arrayValue ?? []).compactMap { EndedEngine($0) }
    launchers = (json["apus"]?["launchers"]?.arrayValue ?? []).compactMap { $0.objectValue.flatMap(Self.process) }
    program = json["apus"]?["program"]?.stringValue
    host = json["apus"]?["host"]?.stringValue
    boot = json["apus"]?["boot"]?.stringValue
    for (path, version) in json["apus"]?["former_files"]?.objectValue?.members ?? [] { formerFiles[path] = version.stringValue }
    others = ForeignMembers(in: json)
  }

  /// Its processes are numbered as here.
  mutating func isOfThisHost() {
    let name = ControllerAddress.hostName
    if !name.isEmpty { (host, boot) = (name, ProcessTable.boot) }
  }

  /// Whether it names processes of the host that it was written on.
  var hasProcesses: Bool {
    supervisor != nil || !launchers.isEmpty || LauncherName(controllerLauncher).isLocal && controller != nil
      || engineSets.values.contains { !$0.engines.isEmpty }
  }

  /// Takes a set's state as its launcher tells it.
  public mutating func set(_ id: String, _ state: JSONObject) { engineSets[id] = read(state) }

  private func read(_ state: JSONObject) -> EngineSet {
    var engines: [String: Process] = [:]
    for (index, engine) in state["engines"]?.objectValue?.members ?? [] {
      engines[index] = engine.objectValue.flatMap(Self.process)
    }
    var set = EngineSet(count: state["n"]?.intValue ?? engines.count, engines: engines)
    if state["engines"] == nil || state["apus"] != nil {
      set.state = state
      set.engines = [:]
    } else {
      set.others = ForeignMembers.unknown(in: state, to: Self.membersOfSets)
    }
    return set
  }

  private static func process(_ state: JSONObject) -> Process? {
    guard let pid = state["pid"]?.intValue, let pid = Int32(exactly: pid), pid > 0 else { return nil }
    var process = Process(pid: pid, outputFile: state["output_file"]?.stringValue ?? "", began: state["began"]?.stringValue)
    process.others = ForeignMembers.unknown(in: state, to: membersOfProcesses)
    return process
  }

  private static let membersOfSets: Set = ["cluster_id", "n", "pid", "profile_dir", "state", "engines"]
  private static let membersOfProcesses: Set = ["cluster_id", "n", "output_file", "pid", "began", "profile_dir", "state"]

  // MARK: writing

  public var json: JSONValue {
    var object: JSONObject = [
      "cluster": [
        "cluster_id": .string(clusterID), "controller_args": JSONValue(controllerArguments), "controller_ip": .string(controllerIP),
        "controller_location": .string(controllerLocation), "delay": .double(delay), "n": count.map { .int($0) } ?? .null,
        "profile_dir": .string(profile), "class": .string(className),
      ]
    ]
    if let originalController, !LauncherName(controllerLauncher).isLocal {
      object["controller"] = ["class": .string(controllerLauncher), "state": .object(originalController)]
    } else if let controller {
      object["controller"] = ["class": .string(controllerLauncher), "state": state(controller, n: nil)]
    }
    if let supervisor {
      object["supervisor"] = [
        "class": "local", "state": state(supervisor, n: nil), "restarts_controller": .bool(restartsController),
      ]
    }
    var sets = JSONObject()
    for (id, set) in engineSets.sorted(by: { $0.key < $1.key }) { sets[id] = .object(state(of: set)) }
    object["engines"] = ["class": .string(engineLauncher), "sets": .object(sets)]
    var own = JSONObject()
    if !ended.isEmpty { own["ended"] = .array(ended.suffix(Self.mostEnded).map(\.json)) }
    if !launchers.isEmpty { own["launchers"] = .array(launchers.map { state($0, n: nil) }) }
    for (name, text) in [("program", program), ("host", host), ("boot", boot)] {
      if let text { own[name] = .string(text) }
    }
    if !formerFiles.isEmpty {
      own["former_files"] = .object(
        JSONObject(members: formerFiles.sorted { $0.key < $1.key }.map { (key: $0.key, value: .string($0.value)) }))
    }
    if !own.members.isEmpty { object["apus"] = .object(own) }
    others.add(to: &object)
    return .object(object)
  }

  /// As its launcher takes it over.
  func state(of set: EngineSet) -> JSONObject {
    if let state = set.state { return state }
    let engines = set.engines.sorted { (Int($0.key) ?? 0, $0.key) < (Int($1.key) ?? 0, $1.key) }
    let known: JSONObject = [
      "cluster_id": .string(clusterID), "n": .int(set.count), "pid": -1, "profile_dir": .string(profile), "state": "running",
      "engines": .object(JSONObject(members: engines.map { (key: $0.key, value: state($0.value, n: 1)) })),
    ]
    return JSONObject(members: known.members + set.others.members)
  }

  private func state(_ process: Process, n: Int?) -> JSONValue {
    var object: JSONObject = ["cluster_id": .string(clusterID)]
    if let n { object["n"] = .int(n) }
    object["output_file"] = .string(process.outputFile)
    object["pid"] = .int(Int(process.pid))
    if let began = process.began { object["began"] = .string(began) }
    object["profile_dir"] = .string(profile)
    object["state"] = "running"
    return .object(JSONObject(members: object.members + process.others.members))
  }

  /// Reads and writes a cluster's file while no other launcher does: what each has to say of its own engines stays.
  public static func whileLocked<R>(_ path: String, _ body: () throws(ClusterError) -> R) throws(ClusterError) -> R {
    try FileSystem.whileLocking(Path.parent(path), body)
  }

  /// Written whole or not at all, readable by its owner: ipyparallel's readers may be at it.
  public func write(to path: String) throws(ClusterError) {
    do throws(FileError) { try AtomicFile.write(json.encoded(), to: path) } catch {
      throw ClusterError(.cannotWrite, "the cluster file could not be written: \(error)")
    }
  }
}
