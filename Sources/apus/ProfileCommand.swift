import ApusProcess
import ApusCluster

/// `apus profile create NAME | list | locate NAME`: what `ipython profile` does, without IPython.
struct ProfileCommand {
  private let arguments: [String]
  private let output: Terminal

  init(_ arguments: [String], _ output: Terminal) {
    self.arguments = arguments
    self.output = output
  }

  private static let help = """
    Make and find profiles: directories that hold a cluster's settings, keys and logs.

    Usage: apus profile create NAME
           apus profile list
           apus profile locate [NAME]

    Profiles are in $IPYTHONDIR, else in ~/.ipython, and are shared with IPython and ipyparallel.

    """

  func run() throws(ClusterError) -> ExitCode {
    let directory = IPythonDirectory.find(Environment.current())
    switch (arguments.first, arguments.count) {
    case ("create", 2):
      let profile = directory.profile(arguments[1])
      let isNew = try profile.create()
      output.print("\(profile.location)\(isNew ? "" : " (was there)")\n")
    case ("list", 1): for profile in directory.profiles() { output.print(directory.abbreviation(of: profile.location) + "\n") }
    case ("locate", 1...2):
      let profile = directory.profile(arguments.count > 1 ? arguments[1] : "default")
      guard profile.exists else { throw ClusterError(.missingFile, "there is no profile \(profile.location)") }
      output.print(profile.location + "\n")
    case ("--help", _), ("-h", _): output.print(Self.help)
    default:
      throw ClusterError(.usage, "apus profile needs 'create NAME', 'list' or 'locate NAME'", advice: "See 'apus profile --help'.")
    }
    return .success
  }
}
