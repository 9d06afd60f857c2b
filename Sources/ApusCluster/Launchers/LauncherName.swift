/// How ipyparallel names the ways to start processes: an entry point, or the path of a class.
public struct LauncherName: Sendable, Hashable {
  public let text: String
  public init(_ text: String) { self.text = text }

  private static let known = ["batch", "htcondor", "local", "lsf", "mpi", "pbs", "sge", "slurm", "ssh", "sshproxy", "winhpc"]
  private static let localClasses = ["LocalEngineSetLauncher", "LocalControllerLauncher", "LocalEngineLauncher"]

  private var className: String { String(text.split { $0 == "." || $0 == ":" }.last ?? "") }

  public var isLocal: Bool { text.lowercased() == "local" || Self.localClasses.contains(className) }

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

  /// - Throws: where Apus cannot start processes in this way, with what to do instead.
  public func requireLocal(_ kind: String) throws(ClusterError) {
    if isLocal { return }
    if Self.known.contains(text.lowercased()) || className.hasSuffix("Launcher") {
      throw ClusterError(
        .unsupported, "the launcher '\(text)' for \(kind) is not in Apus yet: it starts processes on this machine",
        advice: """
          Start the controller here with --ip='*', copy the engines' connection file to the other hosts, and run \
          'ipengine --file=…' there under the launcher's own command.
          """)
    }
    let near = Suggestion.nearest(to: text.lowercased(), among: Self.known)
    throw ClusterError(
      .usage, "there is no launcher '\(text)'\(near.map { "; did you mean '\($0)'?" } ?? "")", advice: "Apus has 'local'.")
  }
}
