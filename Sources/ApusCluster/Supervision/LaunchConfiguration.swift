public import ApusProcess

/// What to start, and how: made from options and files by `LaunchConfiguration+Reading.swift`.
public struct LaunchConfiguration: Sendable {
  public var profile: ProfileDirectory
  public var clusterID = ""
  public var plan: ClusterLifecycle.Plan
  /// Command of the controller with its arguments.
  public var controller: ChildProcess.Command
  public var engines: EngineJob
  /// How the controller is started where it is no process of this host, with its command there, and how the cluster's file names it.
  public var controllerLauncher: (any Launcher)?
  public var controllerJob: EngineJob?
  public var controllerLauncherName = LocalLauncher.name
  /// How the engines are started, and how the cluster's file names it.
  public var launcher: any Launcher = LocalLauncher()
  public var launcherName = LocalLauncher.name
  /// Whether engines run on hosts that must reach the controller over the network.
  public var startsElsewhere = false
  /// What whoever starts the cluster is to know before.
  public var warning: String?
  /// Which hosts those are.
  var target = LauncherReader.Target.here
  /// For the first line: the address at which engines of other hosts find the controller; `nil` where all are here.
  public var reachableAddress: String?
  /// What goes into the cluster file: arguments that are not part of the command.
  public var controllerArguments: [String] = []
  public var controllerIP = ""
  public var controllerLocation = ""
  /// Whether connection files from before the start will do: another controller than ours that reuses its files does not write them.
  public var acceptsOldConnectionFiles = false
  /// Of a launcher in the background: somebody waits to hear that the cluster is ready.
  public var isSupervisor = false
  /// Where what it says goes.
  public var supervisorLog = ""
  /// Remove logs of earlier clusters first.
  public var cleansLogs = true
  /// Lines of a failed process's log to show; 0 is all.
  public var outputLimit = 100

  public init(
    profile: ProfileDirectory, plan: ClusterLifecycle.Plan, controller: ChildProcess.Command, engines: EngineJob
  ) {
    self.profile = profile
    self.plan = plan
    self.controller = controller
    self.engines = engines
  }

  /// What a start would do, for people: the controller's command, and what the engines' launcher submits or runs.
  public func preview() throws(ClusterError) -> String {
    var job = engines
    job.setID = "SET"
    job.variables["IPP_CLUSTER_ID"] = clusterID
    job.variables["IPP_PROFILE_DIR"] = profile.location
    var first = plan.ownsController ? ShellText.line([controller.program] + controller.arguments.dropFirst(0)) + "\n" : ""
    if let launcher = controllerLauncher, var job = controllerJob {
      job.setID = "SET"
      first = try launcher.preview(1, job) + "\n"
    }
    // One that grows with its work shows what it would start first, though that may be later.
    let count = plan.policy.map { max(1, $0.minimum) } ?? plan.engines
    return first + (count > 0 ? try launcher.preview(count, job) : "")
  }
}
