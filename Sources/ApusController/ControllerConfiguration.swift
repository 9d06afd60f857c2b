public import ApusMessaging
public import Transport

/// Everything that can be set of a controller. Reading options, files and the environment is the commands' business.
public struct ControllerConfiguration: Sendable {
  /// Where `security/`, `log/` and the task database are.
  public var profileDirectory: String
  /// Part of the runtime files' names; may be empty.
  public var clusterID = ""

  // MARK: addresses

  /// The address that clients' sockets are bound to; `*` is every one of this machine.
  public var clientIP = "127.0.0.1"
  public var engineIP = "127.0.0.1"
  /// Host name or address that goes into the connection files, for clients and engines elsewhere. `nil` is this machine's name.
  public var location: String?
  /// Ports to take, in this order, before random free ones. If given and all in use, the controller refuses to start.
  public var ports: [Int] = []
  public var clientPorts: [Int] = []
  public var enginePorts: [Int] = []
  /// Tunnel servers that go into the client's and the engine's file.
  public var clientSSH = ""
  public var engineSSH = ""

  // MARK: connection files

  /// Names in `security/`; `nil` is `ipcontroller[-<cluster id>]-client.json`.
  public var clientFile: String?
  public var engineFile: String?
  /// Keep the files on exit and take ports, key and location from those that are there.
  public var reuseFiles = false
  /// Know the engines of the last controller of this profile again. Implies `reuseFiles`.
  public var restoreEngines = false

  // MARK: security

  /// The HMAC key; `nil` makes a new one. An empty one signs nothing, and is refused unless `allowsInsecure`.
  public var key: String?
  /// Whether TCP connections are encrypted. Without, only this host's own user may connect, and other addresses than loopback's are refused
  /// unless `allowsInsecure`.
  public var enableCurve = true
  /// Start although somebody without the key could read or change what is sent.
  public var allowsInsecure = false
  /// A fixed key pair for CURVE; `nil` makes a new one.
  public var curveKeys: CurveKeyPair?
  /// This controller's session id; `nil` makes a new one.
  public var identity: SessionID?
  public var username = "apus"

  // MARK: heart

  /// Time between two pings.
  public var heartbeatPeriod = Duration.milliseconds(3000)
  /// An engine is given up after one more than this many unanswered pings in a row.
  public var maximumHeartbeatMisses = 10
  /// How long the answers of an engine that has gone silent may still arrive, for what it had been sent.
  public var graceAfterSilence = Duration.seconds(5)
  /// How long a registered engine may take until its first heartbeat. `nil` is the greater of 30 s and ten periods.
  public var registrationTimeout: Duration?

  // MARK: schedulers

  public var scheme: SchedulingPolicy = .leastLoad
  /// Tasks that an engine may have at once, so that the next is there when one ends; 0 is no limit.
  public var highWaterMark = 1
  /// Tasks beyond that mark that an engine is sent in advance, while it answers within fractions of a millisecond and many tasks wait; 0 is
  /// none. If the engine is lost, those tasks are as lost as the one that it ran.
  public var lookAhead = 128
  /// Whether Apus's own parties on this host and of this user connect by Unix domain sockets, and not by TCP.
  public var localSockets = true
  /// The broadcast tree has 2 to the power of this many leaves for engines to connect to.
  public var broadcastDepth = 1
  /// Tasks that have ended and that dependencies may still name; of older ones it is not known any more how they ended.
  public var finishedTasks = 1 << 18
  /// Bytes of queued tasks above which clients wait with sending: a quarter of this machine's memory, 8 GiB at most.
  public var queueByteLimit = min(8 << 30, PhysicalMemory.bytes / 4)
  /// libzmq's I/O threads.
  public var ioThreads = 1
  /// For clients of this very process: everything that clients connect to is bound here as well.
  public var inProcess: InProcess?

  /// Bytes of events that are remembered for `apus story`, `explain` and `trace`: some hundred thousand tasks of the last time. 0 remembers
  /// nothing.
  public var historyLimit = 16 << 20

  // MARK: journal

  /// Whether tasks survive the controller; `nil` is no. Its files are in `journal[-<cluster id>]/` of the profile, and gone after an end in order.
  public var journal: JournalConfiguration?

  // MARK: task database

  public var database: Database = .memory
  /// Memory: records kept, bytes kept, and the part that is dropped when either is reached. Unfinished tasks are never dropped.
  public var recordLimit = 1024
  public var sizeLimit = 1 << 30
  public var cullFraction = 0.1
  /// SQLite: the file, `nil` is `tasks.db` in the profile; and the table.
  public var sqliteFile: String?
  public var sqliteTable = "ipython-tasks"

  /// The interpreter that runs Dask's scheduler when a client asks for one.
  public var python = "python3"
  /// Where the `apus` Python package is; goes before `PYTHONPATH` of that interpreter.
  public var pythonPath: String?

  public enum Database: String, Sendable, CaseIterable { case memory, sqlite, none }

  public init(profileDirectory: String) { self.profileDirectory = profileDirectory }

  var effectiveRegistrationTimeout: Duration { registrationTimeout ?? max(.seconds(30), heartbeatPeriod * 10) }

  var securityDirectory: String { "\(profileDirectory)/security" }
  /// Part of names that belong to one controller of a profile.
  private var suffix: String { clusterID.isEmpty ? "" : "-\(clusterID)" }

  func file(_ side: String, custom: String?) -> String {
    let name = custom ?? "ipcontroller\(suffix)-\(side).json"
    return name.hasPrefix("/") ? name : "\(securityDirectory)/\(name)"
  }

  public var clientFilePath: String { file("client", custom: clientFile) }
  public var engineFilePath: String { file("engine", custom: engineFile) }
  /// The controller's secret key, where its files are going to be used again.
  var curveFilePath: String { "\(securityDirectory)/ipcontroller\(suffix)-curve.json" }
  var journalDirectory: String { "\(profileDirectory)/journal\(suffix)" }
  /// Locked while a controller of this name lives.
  var lockPath: String { "\(profileDirectory)/pid/ipcontroller\(suffix).lock" }
  /// Where results wait for clients that do not read, in files without a name.
  var spoolDirectory: String { "\(profileDirectory)/spool" }
  /// Which engines there are, for `--restore`.
  public var engineStatePath: String { "\(profileDirectory)/log/engines\(clusterID).json" }
}

/// Why a controller could not start or go on.
public struct ControllerError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Int, Sendable {
    /// A port that was asked for is taken.
    case addressInUse = 3
    /// A file or folder cannot be read or written.
    case file = 4
    /// Something in the configuration cannot be.
    case configuration = 5
    /// libzmq refused.
    case messaging = 6
    /// The task database cannot be opened.
    case database = 7
    /// Another controller of this profile and cluster id lives.
    case alreadyRunning = 8
  }

  public let code: Code
  /// What happened, where, and what to do.
  public let reason: String

  public init(_ code: Code, _ reason: String) {
    self.code = code
    self.reason = reason
  }
  public var description: String { reason }
}
