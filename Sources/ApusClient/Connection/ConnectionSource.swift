public import ApusMessaging
import Glibc

/// Where a client learns how to reach its controller.
public enum ConnectionSource: Sendable, Hashable {
  /// A profile by its name, in `ipythonDirectory` (by default `IPYTHONDIR`, else `~/.ipython`).
  /// - `clusterID`: of several clusters of a profile; by default `IPP_CLUSTER_ID`, else the one without an id.
  case profile(_ name: String, clusterID: String? = nil, ipythonDirectory: String? = nil)
  /// A profile by its path.
  case profileDirectory(_ path: String, clusterID: String? = nil)
  /// A connection file, `ipcontroller-client.json` or a copy of it.
  case file(_ path: String)
  /// What a file would say.
  case connection(ConnectionFile)
  /// What the environment says: `IPP_PROFILE_DIR`, else the default profile; `IPP_CLUSTER_ID`; `IPYTHONDIR`.
  case environment

  /// Reads the file that this names.
  /// - Parameter environment: the variables; by default those of the process.
  /// - Throws: `noCluster` where there is no such file, `connectionFile` where it is not one of a client.
  public func connectionFile(environment: ClientEnvironment = .process) throws(ClientError) -> ConnectionFile {
    switch self {
    case .connection(let file): return try Self.clientSide(file, path: "the given connection")
    case .file(let path): return try Self.read(environment.expanded(path), profile: nil, environment)
    case .profileDirectory(let path, let clusterID):
      return try Self.read(profile: environment.expanded(path), clusterID: clusterID, environment)
    case .profile(let name, let clusterID, let directory):
      let base = directory.map { environment.expanded($0) } ?? environment.ipythonDirectory
      return try Self.read(profile: "\(base)/profile_\(name)", clusterID: clusterID, environment)
    case .environment:
      let profile =
        environment["IPP_PROFILE_DIR"].map { environment.expanded($0) } ?? "\(environment.ipythonDirectory)/profile_default"
      return try Self.read(profile: profile, clusterID: nil, environment)
    }
  }

  private static func read(profile: String, clusterID: String?, _ environment: ClientEnvironment) throws(ClientError)
    -> ConnectionFile
  {
    let id = clusterID ?? environment["IPP_CLUSTER_ID"] ?? ""
    return try read("\(profile)/security/ipcontroller\(id.isEmpty ? "" : "-\(id)")-client.json", profile: profile, environment)
  }

  private static func read(_ path: String, profile: String?, _ environment: ClientEnvironment) throws(ClientError) -> ConnectionFile
  {
    let text: String
    do throws(FileError) { text = String(decoding: try AtomicFile.read(path, limit: largestFile), as: UTF8.self) } catch {
      guard error.code == ENOENT || error.code == ENOTDIR else {
        throw ClientError(.connectionFile, "the connection file \(path) cannot be read: \(error)")
      }
      throw ClientError(
        .noCluster, "no cluster was found: there is no connection file \(path)", advice: advice(profile, environment))
    }
    let file: ConnectionFile
    do throws(ConnectionFileError) { file = try ConnectionFile(parsing: text) } catch {
      throw ClientError(.connectionFile, "the connection file \(path) is of no use: \(error)", advice: "Start the cluster again.")
    }
    return try clientSide(file, path: path)
  }

  /// Connection files are small, in bytes; more than this is none.
  private static let largestFile = 1 << 20

  private static func advice(_ profile: String?, _ environment: ClientEnvironment) -> String {
    guard let profile else { return "Start a cluster (apus start), or name the file that its controller wrote." }
    let others = environment.entries("\(profile)/security").filter { $0.hasPrefix("ipcontroller-") && $0.hasSuffix("-client.json") }
    let ids = others.map { $0.dropFirst("ipcontroller-".count).dropLast("client.json".count) }.map {
      $0.isEmpty ? "\"\"" : String($0.dropLast())
    }
    if ids.isEmpty { return "Start a cluster (apus start), or name another profile." }
    return
      "This profile has the cluster\(ids.count > 1 ? "s" : "") \(ids.sorted().joined(separator: ", ")): name one by its cluster id."
  }

  private static func clientSide(_ file: ConnectionFile, path: String) throws(ClientError) -> ConnectionFile {
    guard case .client = file.side else {
      throw ClientError(
        .connectionFile, "\(path) is the connection of an engine", advice: "Use the file whose name ends in -client.json.")
    }
    return file
  }
}
