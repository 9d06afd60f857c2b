import ApusMessaging

/// One profile: `profile_<name>` with its `security`, `log`, `pid` and `startup` (protocol section 1.1).
public struct ProfileDirectory: Sendable, Hashable {
  public let location: String
  public init(_ location: String) { self.location = Path.absolute(location) }

  public var security: String { Path.join(location, "security") }
  public var log: String { Path.join(location, "log") }
  public var pid: String { Path.join(location, "pid") }
  public var startup: String { Path.join(location, "startup") }
  public var exists: Bool { FileSystem.isDirectory(location) }

  private static let startupReadme = """
    Python files in this directory (.py and .ipy) are run by every engine and every IPython session of this profile
    when it starts, in the order of their names, before anything else.

    """

  /// Makes what is missing of the profile: safe to call on one that exists.
  /// - Returns: whether the profile itself was new.
  @discardableResult
  public func create() throws(ClusterError) -> Bool {
    let isNew = !exists
    do throws(FileError) {
      try FileSystem.makeDirectory(location)
      try FileSystem.makeDirectory(security, mode: 0o700)
      try FileSystem.makeDirectory(log)
      try FileSystem.makeDirectory(pid, mode: 0o700)
      if !FileSystem.isDirectory(startup) {
        try FileSystem.makeDirectory(startup)
        try AtomicFile.write(Array(Self.startupReadme.utf8), to: Path.join(startup, "README"), mode: 0o644)
      }
    } catch {
      throw ClusterError(
        .cannotWrite, "the profile directory could not be made: \(error)",
        advice: "Name a directory that you can write to by --profile-dir, --ipython-dir or the environment variable IPYTHONDIR.")
    }
    return isNew
  }

  /// Where a controller notes its engines for the next one.
  func engineStateFile(clusterID: String) -> String { Path.join(log, "engines\(clusterID).json") }

  /// The two files that a controller writes and that engines and clients look for.
  /// - Parameter kind: `client` or `engine`.
  public func connectionFile(_ kind: String, clusterID: String) -> String {
    Path.join(security, "ipcontroller\(clusterID.isEmpty ? "" : "-\(clusterID)")-\(kind).json")
  }

  /// Where the controller keeps its journal.
  public func journal(clusterID: String) -> String { Path.join(location, "journal\(clusterID.isEmpty ? "" : "-\(clusterID)")") }

  public func clusterFile(_ clusterID: String) -> String { Path.join(security, "cluster-\(clusterID).json") }

  /// Cluster files of all clusters of this profile, running or not.
  public func clusterFiles() -> [String] {
    FileSystem.entries(of: security).filter { $0.hasPrefix("cluster-") && $0.hasSuffix(".json") }.map { Path.join(security, $0) }
  }

  /// Ids of clusters whose controller runs, whoever has started it: one of ours on this host, or one that answers by its connection files.
  public func controllers() -> [String] {
    let locks = Self.clusterIDs(FileSystem.entries(of: pid), ".lock").filter {
      ControllerLeftovers.hasController(self, clusterID: $0)
    }
    let files = Self.clusterIDs(FileSystem.entries(of: security), "-client.json")
    return locks + files.filter { !locks.contains($0) && ControllerLeftovers.areInUse(self, clusterID: $0) }
  }

  private static func clusterIDs(_ names: [String], _ ending: String) -> [String] {
    names.filter { $0.hasPrefix("ipcontroller") && $0.hasSuffix(ending) }
      .map { String($0.dropFirst("ipcontroller".count).dropLast(ending.count).dropFirst()) }
  }

  /// What it needs as long as it lives, and the next one when it does not end in order.
  public func files(ofController clusterID: String) -> [String] {
    ["client", "engine", "curve"].map { connectionFile($0, clusterID: clusterID) } + [
      journal(clusterID: clusterID), engineStateFile(clusterID: clusterID),
    ]
  }

  /// Names of logs that launchers leave: ipyparallel's and ours.
  public static func isLauncherLog(_ name: String) -> Bool {
    guard name.hasPrefix("ipengine-") || name.hasPrefix("ipcontroller-") else { return false }
    return [".log", ".err", ".out", ".sbatch", "_engines"].contains { name.hasSuffix($0) } || name.contains(".log.")
  }
}
