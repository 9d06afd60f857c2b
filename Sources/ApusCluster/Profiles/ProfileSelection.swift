public import ApusProcess

/// Which profile a command works on, from the options and the environment.
public struct ProfileSelection: Sendable, Hashable {
  public var ipythonDirectory: IPythonDirectory
  public var profile: ProfileDirectory
  /// Whether somebody chose: `list` shows only that profile then.
  public var isExplicit: Bool

  /// A path wins over a name, the command line over the environment, and both over `profile_default`.
  public static func select(_ configuration: Configuration, command: CommandSpecification, _ environment: Environment)
    throws(ClusterError) -> ProfileSelection
  {
    let directory = IPythonDirectory.find(named: try configuration.string("ipython_dir", of: command.application), environment)
    let name = try configuration.string("profile", of: command.application) ?? "default"
    let path = try configuration.string("location", of: "ProfileDir")
    let isNamed = configuration.setting("profile", of: command.application)?.origin.isCommandLine == true
    if let path, !path.isEmpty, !(isNamed && configuration.setting("location", of: "ProfileDir")?.origin.isCommandLine != true) {
      return ProfileSelection(
        ipythonDirectory: directory, profile: ProfileDirectory(Path.expanded(path, environment)), isExplicit: true)
    }
    return ProfileSelection(ipythonDirectory: directory, profile: directory.profile(name), isExplicit: name != "default")
  }
}
