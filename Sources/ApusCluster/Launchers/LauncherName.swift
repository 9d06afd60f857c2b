/// How ipyparallel names the ways to start processes: an entry point, or the path of a class.
public struct LauncherName: Sendable, Hashable {
  public let text: String
  public init(_ text: String) { self.text = text }

  private static let known = ["batch", "htcondor", "local", "lsf", "mpi", "pbs", "sge", "slurm", "ssh", "sshproxy", "winhpc"]

  private var className: String { String(text.split { $0 == "." || $0 == ":" }.last ?? "") }

  /// The name as an entry point, whatever form it was given in: `slurm` for `ipyparallel.cluster.launcher.SlurmEngineSetLauncher`.
  public var entry: String? {
    if Self.known.contains(text.lowercased()) { return text.lowercased() }
    var name = className
    guard let ending = ["EngineSetLauncher", "ControllerLauncher", "EngineLauncher"].first(where: { name.hasSuffix($0) }) else {
      return nil
    }
    name.removeLast(ending.count)
    return Self.known.contains(name.lowercased()) ? name.lowercased() : nil
  }

  public var isLocal: Bool { entry == "local" }

  /// What `list` shows: `Local`, `Slurm`.
  public var title: String {
    var name = className
    for ending in ["EngineSetLauncher", "ControllerLauncher", "EngineLauncher"] where name.hasSuffix(ending) {
      name.removeLast(ending.count)
    }
    let titles = [
      "ssh": "SSH", "sshproxy": "SSHProxy", "mpi": "MPI", "pbs": "PBS", "sge": "SGE", "lsf": "LSF", "htcondor": "HTCondor",
      "winhpc": "WindowsHPC",
    ]
    return titles[name.lowercased()] ?? name.prefix(1).uppercased() + name.dropFirst()
  }

  /// - Parameter kind: `engines` or `the controller`.
  /// - Throws: where Apus cannot start processes in this way, with what to do instead.
  public func require(oneOf names: [String], for kind: String) throws(ClusterError) {
    if let entry, names.contains(entry) { return }
    if entry != nil || className.hasSuffix("Launcher") {
      throw ClusterError(
        .unsupported, "the launcher '\(text)' for \(kind) is not in Apus, which has \(names.joined(separator: ", "))",
        advice: kind == "engines"
          ? "Start the controller with --ip='*', and run 'ipengine --file=…' under the launcher's own command."
          : "Run 'apus controller' under the launcher's own command, and 'apus engines' where its profile is.")
    }
    let near = Suggestion.nearest(to: text.lowercased(), among: names)
    throw ClusterError(
      .usage, "there is no launcher '\(text)'\(near.map { "; did you mean '\($0)'?" } ?? "")",
      advice: "For \(kind) Apus has \(names.map { "'\($0)'" }.joined(separator: ", ")).")
  }
}
