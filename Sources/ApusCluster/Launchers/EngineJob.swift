public import ApusProcess
import ApusMessaging

/// What engines are started with, whatever starts them.
public struct EngineJob: Sendable, Hashable {
  public var profile: ProfileDirectory
  public var clusterID: String
  /// Tells sets of one cluster apart, and their files.
  public var setID = ""
  /// Program, arguments and environment of an engine on this host.
  public var command: ChildProcess.Command
  /// The command without its arguments, where it is not Apus's own engine; that one every host finds for itself.
  public var foreignCommand: [String]?
  public var engineArguments: [String] = []
  /// Directory that holds the Python package `apus` on this host; on others that have it in the same place, it is taken too.
  public var packageDirectory: String?
  /// A script of a shell that engines run in the environment of, on whatever host; a host may have one of its own.
  public var environmentScript: String?
  /// Those of its variables that this cluster needs, and that must reach engines on other hosts.
  public var variables: [String: String] = [:]
  /// The engines' connection file as text, once the controller has written it.
  public var connectionInfo: String?
  /// Whether connection info goes into the environment; `nil` where nobody has said so and the launcher knows best.
  public var sendsConnectionInfo: Bool?
  /// Whether it is not engines that are started but the cluster's controller: one process, which makes the connection files.
  public var isController = false

  public init(profile: ProfileDirectory, clusterID: String, command: ChildProcess.Command) {
    self.profile = profile
    self.clusterID = clusterID
    self.command = command
  }

  /// In the environment of every process of the set, on whatever host: by it they are found.
  static let mark = "APUS_ENGINE_SET"

  /// The same, in that of processes that a launcher has started on its own host, and in no other's: by it they are found where the launcher was
  /// killed before the cluster's file named them. What runs on this host for another system has its own ways to be found, and to end.
  static let localMark = "APUS_LOCAL_PROCESS"

  /// Which engine of its set a process is: a number, or how one follows from the system's own count: `FIRST:BASE:VARIABLE,VARIABLE`.
  static let index = "APUS_ENGINE_INDEX"
  /// Set where an engine that is started again wants the id of the one in whose place it comes.
  static let keepsID = "APUS_ENGINE_KEEPS_ID"
  /// Seconds that its job may run.
  static let timeLimit = "APUS_ENGINE_TIME_LIMIT"
  /// Seconds before the end of that, from which on it takes no more tasks.
  static let grace = "APUS_ENGINE_GRACE"

  /// - Parameters:
  ///   - variables: of the system, of which one says the number of a process, counted from `base` on.
  static func indexRule(from first: Int, base: Int, _ variables: String) -> String { "\(first):\(base):\(variables)" }

  /// Unlike that of any other set, also of another profile or user.
  var markValue: String { mark(ofSet: setID) }

  /// Beginning with `ClusterFile.mark`.
  func mark(ofSet set: String) -> String { "\(profile.location):\(clusterID):\(set)" }

  /// The environment of a process on this host.
  func environment(withInfo: Bool) -> Environment {
    var environment = command.environment
    for (name, value) in variables { environment[name] = value }
    // Of a cluster that this one is started in.
    environment[Self.index] = nil
    if variables[Self.keepsID] == nil { environment[Self.keepsID] = nil }
    environment[Self.mark] = markValue
    if withInfo, let connectionInfo { environment["IPP_CONNECTION_INFO"] = connectionInfo }
    return environment
  }

  /// A command in the environment that a script sets up.
  static func words(_ words: [String], sourcing script: String?) -> [String] {
    guard let script, !script.isEmpty else { return words }
    // What the script says of itself is in the log; one that fails starts nothing.
    return ["/bin/sh", "-c", #". "$0" && exec "$@""#, script] + words
  }

  /// `ipengine-ID-SET`, the beginning of the names of its files in the profile's `log`.
  var logStem: String { Path.join(profile.log, "\(programName)-\(clusterID)-\(setID)") }

  var programName: String { isController ? "ipcontroller" : "ipengine" }
}

/// What a launcher needs of this process to take over a set.
public struct LauncherContext: Sendable {
  public var environment: Environment
  public var profile: ProfileDirectory
  /// Nobody else is at work with the set any more, and it is to end, or to go on: what its launcher was about to start when it was killed is
  /// looked for, and what has not begun is kept from it.
  public var settles = false
  /// The set's name in the cluster's file, where what its launcher has not named there is looked for by it.
  public var setID: String?
  /// When whoever asks wants to have been answered; `nil` is as long as systems and hosts take.
  var deadline: Duration?
  /// How long a host may take to answer, where that is to be another time than the cluster was started with.
  public var connectTimeout: Duration?

  public init(
    environment: Environment, profile: ProfileDirectory, settles: Bool = false, _ connectTimeout: Duration? = nil
  ) {
    self.environment = environment
    self.profile = profile
    self.settles = settles
    self.connectTimeout = connectTimeout
  }
}
