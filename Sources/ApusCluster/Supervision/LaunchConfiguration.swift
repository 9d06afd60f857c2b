public import ApusProcess

/// What to start, and how: made from options and files by `LaunchConfiguration+Reading.swift`.
public struct LaunchConfiguration: Sendable {
  public var profile: ProfileDirectory
  public var clusterID = ""
  public var plan: ClusterLifecycle.Plan
  /// Command of the controller with its arguments, and of an engine.
  public var controller: ChildProcess.Command
  public var engine: ChildProcess.Command
  /// What goes into the cluster file: arguments that are not part of the command.
  public var controllerArguments: [String] = []
  public var controllerIP = ""
  public var controllerLocation = ""
  /// Whether connection files from before the start will do: another controller than ours that reuses its files does not write them.
  public var acceptsOldConnectionFiles = false
  /// Hand the engines their connection file as text.
  public var sendsConnectionInfo = true
  /// Remove logs of earlier clusters first.
  public var cleansLogs = true
  /// Lines of a failed process's log to show; 0 is all.
  public var outputLimit = 100

  public init(
    profile: ProfileDirectory, plan: ClusterLifecycle.Plan, controller: ChildProcess.Command, engine: ChildProcess.Command
  ) {
    self.profile = profile
    self.plan = plan
    self.controller = controller
    self.engine = engine
  }
}
