public import ApusProcess

/// The directory that holds all profiles: `IPYTHONDIR`, else `~/.ipython`.
public struct IPythonDirectory: Sendable, Hashable {
  public let location: String
  public init(_ location: String) { self.location = Path.absolute(location) }

  /// - Parameter named: of `--ipython-dir`; it wins.
  public static func find(named: String? = nil, _ environment: Environment) -> IPythonDirectory {
    if let named, !named.isEmpty { return IPythonDirectory(Path.expanded(named, environment)) }
    if let directory = environment["IPYTHONDIR"] { return IPythonDirectory(Path.expanded(directory, environment)) }
    return IPythonDirectory(Path.join(environment.home ?? "/", ".ipython"))
  }

  static let prefix = "profile_"

  public func profile(_ name: String) -> ProfileDirectory { ProfileDirectory(Path.join(location, Self.prefix + name)) }

  /// Every profile there is, by name.
  public func profiles() -> [ProfileDirectory] {
    FileSystem.entries(of: location).filter { $0.hasPrefix(Self.prefix) }.map { ProfileDirectory(Path.join(location, $0)) }
      .filter { FileSystem.isDirectory($0.location) }
  }

  /// The profile's name where it lies in this directory, else its whole path: what `list` shows.
  public func abbreviation(of profile: String) -> String {
    let start = Path.join(location, Self.prefix)
    return profile.hasPrefix(start) ? String(profile.dropFirst(start.count)) : profile
  }
}
