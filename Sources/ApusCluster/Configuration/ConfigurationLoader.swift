public import ApusProcess
import ApusMessaging

/// Reads the configuration files that concern a command, in traitlets' order.
///
/// Later wins: `/etc/ipython`, `/usr/local/etc/ipython`, `<prefix>/etc/ipython`, the profile directory, `--config`; in each of them
/// `ipython_config` before the command's own file, and `.py` before `.json`. The environment comes after them and the command line last.
public struct ConfigurationLoader: Sendable {
  public struct Result: Sendable, Hashable {
    public var configuration = Configuration()
    /// Files that were read.
    public var files: [String] = []
    /// One sentence each, for people.
    public var warnings: [String] = []
  }

  private let environment: Environment
  private let systemDirectories: [String]

  public init(_ environment: Environment, systemDirectories: [String] = ["/etc/ipython", "/usr/local/etc/ipython"]) {
    self.environment = environment
    self.systemDirectories = systemDirectories
  }

  /// - Parameters:
  ///   - name: `ipcluster`, `ipcontroller` or `ipengine`.
  ///   - extra: of `--config`: a path, with or without its ending.
  /// - Throws: where a JSON file is damaged, or the extra file does not exist.
  public func load(_ name: String, profile: ProfileDirectory, extra: String? = nil) throws(ClusterError) -> Result {
    var result = Result()
    var directories = systemDirectories
    for prefix in ["CONDA_PREFIX", "VIRTUAL_ENV"] {
      if let prefix = environment[prefix] { directories.append(Path.join(prefix, "etc/ipython")) }
    }
    directories.append(profile.location)
    for base in ["ipython_config", "\(name)_config"] {
      for directory in directories { try read(Path.join(directory, base), into: &result) }
    }
    if let extra, !extra.isEmpty { try readExtra(extra, profile: profile, into: &result) }
    return result
  }

  private func readExtra(_ extra: String, profile: ProfileDirectory, into result: inout Result) throws(ClusterError) {
    var base = extra
    for ending in [".py", ".json"] where base.hasSuffix(ending) { base.removeLast(ending.count) }
    let path = Path.expanded(base, environment)
    for candidate in [Path.absolute(path), Path.join(profile.location, path)] {
      if try read(candidate, into: &result) { return }
    }
    throw ClusterError(
      .missingFile, "the configuration file \(extra) of --config was not found in \(Path.currentDirectory) or \(profile.location)")
  }

  /// Reads `base.py` and `base.json` where they exist.
  @discardableResult
  private func read(_ base: String, into result: inout Result) throws(ClusterError) -> Bool {
    var found = false
    if FileSystem.isFile(base + ".py") {
      found = true
      let contents = PythonConfigurationFile.parse(try text(base + ".py"), path: base + ".py")
      result.configuration.merge(contents.configuration)
      result.files.append(base + ".py")
      result.warnings += contents.ignored.map {
        "\($0)\n  has no effect: of Python files only lines like 'c.Class.trait = literal' are read"
      }
    }
    if FileSystem.isFile(base + ".json") {
      found = true
      result.configuration.merge(try Self.parseJSON(try text(base + ".json"), path: base + ".json"))
      result.files.append(base + ".json")
    }
    return found
  }

  private func text(_ path: String) throws(ClusterError) -> String {
    do throws(FileError) { return try FileSystem.text(of: path) } catch {
      throw ClusterError(.missingFile, "the configuration file could not be read: \(error)")
    }
  }

  /// Class to trait to value, with an optional `version` of 1.
  static func parseJSON(_ text: String, path: String) throws(ClusterError) -> Configuration {
    let json: JSONValue
    do throws(JSONError) { json = try JSONValue(parsing: text) } catch {
      throw ClusterError(.failure, "the configuration file \(path) is \(error)")
    }
    guard let object = json.objectValue else {
      throw ClusterError(
        .failure, "the configuration file \(path) should hold an object of classes, like {\"HeartMonitor\": {\"period\": 250}}")
    }
    var configuration = Configuration()
    for (className, traits) in object.members where className != "version" {
      guard let traits = traits.objectValue else {
        throw ClusterError(.failure, "\(className) in the configuration file \(path) should be an object of traits")
      }
      for (trait, value) in traits.members { configuration.set(className, trait, value, from: .file(path, line: nil)) }
    }
    return configuration
  }

  /// What `IPP_SESSION_KEY`, `IPP_CLUSTER_ID` and `IPP_PROFILE_DIR` say.
  public static func environmentConfiguration(_ environment: Environment) -> Configuration {
    var configuration = Configuration()
    // An empty key is a key: it switches signatures off, as in ipyparallel.
    if let key = environment.variables["IPP_SESSION_KEY"] {
      configuration.set("Session", "key", .string(key), from: .environment("IPP_SESSION_KEY"))
    }
    if let id = environment["IPP_CLUSTER_ID"] {
      configuration.set("BaseParallelApplication", "cluster_id", .string(id), from: .environment("IPP_CLUSTER_ID"))
    }
    if let path = environment["IPP_PROFILE_DIR"] {
      configuration.set("ProfileDir", "location", .string(path), from: .environment("IPP_PROFILE_DIR"))
    }
    return configuration
  }
}
