import ApusMessaging

/// What distinguishes one batch system from another: its commands, its lines in a script, and what its answers mean.
///
/// All questions go through a `BatchShell`, and all of them are about many jobs at once.
protocol BatchSystem: Sendable {
  /// How options name it: `slurm`.
  static var name: String { get }
  /// How people do: `Slurm`.
  static var title: String { get }
  /// Beginning of the names of ipyparallel's classes for it: `SlurmEngineSetLauncher`.
  static var classStem: String { get }
  static var submitCommand: [String] { get }
  static var deleteCommand: [String] { get }
  /// Ends a job at once and for good; `nil` where the system has no more than its delete command.
  static var killCommand: [String]? { get }
  /// The signal and the id follow; `nil` where the system sends no signals.
  static var signalCommand: [String]? { get }
  /// Basename of a script.
  static var scriptName: String { get }
  /// Whether the script goes to the submit command's standard input.
  static var readsScriptFromInput: Bool { get }
  /// The number of a job's first engine in the system's own counting, which its output files end with.
  static var firstIndex: Int { get }
  /// The variables, separated by commas, by which a process knows that number.
  static var indexVariables: String { get }
  /// Whether `end` has the same answer for all engines of a job.
  static var tellsOfJobs: Bool { get }

  /// Whether engines may be elements of an array: whether the system tells of each.
  var followsArrays: Bool { get }

  init()

  /// Learns what it must know of this installation before a script can be made.
  mutating func prepare(_ shell: BatchShell)

  /// The script's template, with a line for each option that is set.
  func template(_ options: BatchOptions, engines: Int) -> String

  /// The same options as arguments of the submit command: for templates of the user's own.
  func arguments(_ options: BatchOptions) -> [String]

  /// - Parameter output: of the submit command.
  func jobID(in output: String) -> String?

  /// Names of engines of a job for the delete and signal commands.
  /// - Parameter engines: by their place in the job, from 0 on; `nil` for the whole job.
  func names(_ job: BatchJob, engines: [Int]?) -> [String]

  /// How the engines of jobs are. Those that the system does not list (any more, or yet) are left out.
  /// - Throws: where the system does not answer.
  func list(_ jobs: [BatchJob], _ shell: BatchShell) throws(ClusterError) -> [Int: EngineState]

  /// Why engines of a job that is over have ended, where more can be found out than `list` said.
  /// - Parameter known: what `list` said; `nil` where it said nothing.
  func end(of engine: Int, in job: BatchJob, known: EngineEnd?, _ shell: BatchShell) -> EngineEnd?
}

extension BatchSystem {
  static var killCommand: [String]? { nil }
  static var tellsOfJobs: Bool { false }
  var followsArrays: Bool { true }
  static var readsScriptFromInput: Bool { false }
  mutating func prepare(_ shell: BatchShell) {}
  func arguments(_ options: BatchOptions) -> [String] { [] }
}

/// One job, or one array of jobs, and the engines in it.
struct BatchJob: Sendable, Hashable {
  /// As the submit command said it; empty until it has.
  var id: String
  /// By their index in the set.
  var engines: Range<Int>
  /// What the script calls `{output_file}`; engines append their number, the job itself writes to this one.
  var outputFile: String
  var script: String
  /// Whether its engines are elements of an array.
  var isArray = true
  /// File that gets what the submit command says: whoever finds a job without id, because its launcher was killed, reads it there.
  var record: String?

  var isSubmitted: Bool { !id.isEmpty }

  /// The place of an engine in the job, from 0 on.
  func place(of engine: Int) -> Int { engine - engines.lowerBound }

  var json: JSONValue {
    [
      "id": .string(id), "first": .int(engines.lowerBound), "n": .int(engines.count), "output_file": .string(outputFile),
      "script": .string(script), "array": .bool(isArray), "record": record.map { .string($0) } ?? .null,
    ]
  }

  init(id: String, engines: Range<Int>, outputFile: String, script: String) {
    self.id = id
    self.engines = engines
    self.outputFile = outputFile
    self.script = script
  }

  init?(_ json: JSONValue) {
    guard let id = json["id"]?.stringValue, let first = json["first"]?.intValue, let n = json["n"]?.intValue, first >= 0, n >= 0,
      n <= 1_000_000, first <= 1_000_000
    else { return nil }
    self.init(
      id: id, engines: first..<first + n, outputFile: json["output_file"]?.stringValue ?? "",
      script: json["script"]?.stringValue ?? "")
    isArray = json["array"]?.boolValue ?? true
    record = json["record"]?.stringValue
  }
}
