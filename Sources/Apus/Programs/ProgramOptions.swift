import ApusProcess
import ApusClient
import ApusCluster

/// What a `ClusterProgram`'s command line says about the cluster. Everything else is the program's own.
struct ProgramOptions: Sendable, Hashable {
  enum Role: Sendable, Hashable {
    /// Bring up a cluster, and run the program.
    case embedded
    /// Run the program on a cluster that is there.
    case client
    /// Serve a cluster that is there.
    case engine
  }

  var role = Role.embedded
  var engines: Int?
  /// Engines at least and at most, of a cluster that follows its work: `-n 1-8`.
  var range: ClosedRange<Int>?
  /// Options for a launcher that starts the engines elsewhere, as `apus engines` takes them: `--engines=slurm`, `--time=1h`.
  var launching: [String] = []
  var profile: String?
  var profileDirectory: String?
  var clusterID: String?
  var file: String?
  /// The engine ends when its standard input does.
  var followsParent = false
  var wantsHelp = false
  /// What the program itself is to read.
  var rest: [String] = []

  /// - Parameter arguments: without the program's name.
  init(_ arguments: [String]) throws(ClusterError) {
    var remaining = arguments[...]
    if remaining.first == "engine" {
      role = .engine
      remaining.removeFirst()
    }
    while let word = remaining.popFirst() {
      if word == "--" {
        rest += remaining
        break
      }
      let (name, attached) = Self.split(word)
      func value() throws(ClusterError) -> String {
        if let attached { return attached }
        guard let next = remaining.popFirst() else { throw ClusterError(.usage, "\(name) needs a value") }
        return next
      }
      switch name {
      case "--engines", "-n":
        let text = try value()
        if name == "--engines", ProgramEngines.isLauncher(text) {
          launching.append("--engines=\(text)")
          continue
        }
        if let wanted = Self.range(text) {
          (engines, range) = (wanted.lowerBound, wanted)
          continue
        }
        guard let count = Int(text), count > 0, count <= Self.mostEngines else {
          throw ClusterError(.usage, "\(name) needs a number of engines, 1 or more, or a range like 1-8, and not “\(text)”")
        }
        (engines, range) = (count, nil)
      case "--profile": profile = try value()
      case "--profile-dir": profileDirectory = try value()
      case "--cluster-id": clusterID = try value()
      case "--file": file = try value()
      case _ where Self.launcherOptions.contains(name) && role != .engine:
        launching.append("\(name)=\(try value())")
      // mpiexec's ranks find their number in their environment.
      case "--mpi" where role == .engine: continue
      case "--follow-parent" where role == .engine: followsParent = true
      case "--help", "-h": wantsHelp = true
      default: rest.append(word)
      }
    }
    if let range, file != nil || clusterID != nil || launching.isEmpty && (profile != nil || profileDirectory != nil) {
      throw ClusterError(
        .usage, "-n \(range.lowerBound)-\(range.upperBound) is of a cluster that is started, and not of one that runs",
        advice: "'apus scale --min=\(range.lowerBound) --max=\(range.upperBound)' changes one that runs.")
    }
    if !launching.isEmpty, !launching.contains(where: { $0.hasPrefix("--engines=") }) {
      // They are the program's own.
      rest = launching + rest
      launching = []
    }
    if !launching.isEmpty {
      guard file == nil, clusterID == nil else {
        throw ClusterError(
          .usage, "--engines starts a cluster, and --file and --cluster-id name one that runs", advice: "One or the other.")
      }
      if let profile { launching.append("--profile=\(profile)") }
      if let profileDirectory { launching.append("--profile-dir=\(profileDirectory)") }
      if let engines { launching.append("-n\(engines)") }
      return
    }
    if role == .embedded, profile != nil || profileDirectory != nil || clusterID != nil || file != nil { role = .client }
    if role == .engine, let unknown = rest.first {
      throw ClusterError(
        .usage, "engine does not know “\(unknown)”",
        advice: "It takes --file PATH, --profile NAME, --profile-dir PATH and --cluster-id ID.")
    }
  }

  private static let mostEngines = 4096

  /// `1-8`, engines at least and at most.
  private static func range(_ text: String) -> ClosedRange<Int>? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard parts.count == 2, let low = parts[0], let high = parts[1], 0 <= low, low <= high, 0 < high, high <= mostEngines else {
      return nil
    }
    return low...high
  }

  private static let launcherOptions: Set = [
    "--hosts", "--partition", "--queue", "--account", "--time", "--per-job", "--environment-script",
  ]

  private static func split(_ word: String) -> (name: String, value: String?) {
    guard word.hasPrefix("--"), let equals = word.firstIndex(of: "=") else { return (word, nil) }
    return (String(word[..<equals]), String(word[word.index(after: equals)...]))
  }

  /// Where the cluster is.
  var source: ConnectionSource {
    if let file { return .file(file) }
    if let profileDirectory { return .profileDirectory(profileDirectory, clusterID: clusterID) }
    if profile == nil, clusterID == nil { return .environment }
    return .profile(profile ?? "default", clusterID: clusterID)
  }

  /// The engine's side of it.
  func engineFile(_ environment: Environment) -> String {
    if let file { return file }
    let directory: ProfileDirectory
    if let path = profileDirectory ?? (profile == nil ? environment["IPP_PROFILE_DIR"] : nil) {
      directory = ProfileDirectory(Path.expanded(path, environment))
    } else {
      directory = IPythonDirectory.find(environment).profile(profile ?? "default")
    }
    return directory.connectionFile("engine", clusterID: clusterID ?? environment["IPP_CLUSTER_ID"] ?? "")
  }

  static let help = """
    Cluster options:
      --engines N, -n N      start a cluster of N engines for this run (default: one for each core);
                             -n 1-8 starts one, and up to eight as there is work for them
      --engines=LAUNCHER     have them started by ssh, mpi, slurm, pbs, sge, lsf or htcondor, with the options of `apus engines`:
                             --hosts FILE, --partition NAME, --account NAME, --time LIMIT, --per-job N, --environment-script PATH
      --profile NAME         use the running cluster of this profile; its engines must run this program
      --profile-dir PATH     as --profile, by the profile's path
      --cluster-id ID        of several clusters of a profile
      --file PATH            use the cluster of this connection file (ipcontroller-client.json)
      engine [...]           as the first word: serve a running cluster as one of its engines
    """
}
