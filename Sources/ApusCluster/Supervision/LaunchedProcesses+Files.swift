import ApusProcess
import ApusMessaging
import Glibc

/// The cluster's file, and what is left behind or removed at the end.
extension LaunchedProcesses {
  mutating func updateClusterFile() {
    do throws(ClusterError) {
      try writeClusterFile()
      isFileOurs = true
      isFileStale = false
    } catch {
      isFileStale = true
      announcer.say(.warning, error.description)
    }
  }

  func writeClusterFile() throws(ClusterError) {
    try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) in try writeClusterFileAlone() }
  }

  private func writeClusterFileAlone() throws(ClusterError) {
    let isOwner = configuration.plan.ownsController
    // Beside other engine sets of the same cluster, which other launchers wrote.
    let written = isOwner && !isFileOurs ? nil : (try? ClusterStatus(reading: clusterFile))?.fileToKeep
    var file = ClusterFile(clusterID: configuration.clusterID, profile: configuration.profile.location)
    if isOwner {
      file.others = (written ?? fileOfBefore)?.others ?? file.others
      file.engineSets = written?.engineSets ?? adopted?.others ?? setsOfBefore
      file.ended = written?.ended.filter { $0.set != setID } ?? []
      file.launchers = (written ?? fileOfBefore)?.launchers ?? []
      describeCluster(in: &file)
    } else {
      file = written ?? file
      file.launchers.removeAll { $0.pid == getpid() }
      // What was stopped meanwhile does not come back.
      if !hasLeft, written != nil || !isFileOurs {
        file.launchers.append(.init(pid: getpid(), outputFile: "", began: ProcessTable.began(getpid())))
      }
    }
    for engine in ended where !file.ended.contains(engine) { file.ended.append(engine) }
    if let setState, !liveEngines.isEmpty || isAboutToAdopt {
      file.set(setID, setState)
    } else {
      file.engineSets[setID] = nil
    }
    let saysSomething =
      file.controller != nil || file.originalController != nil || file.supervisor != nil || !file.engineSets.isEmpty
      || !file.launchers.isEmpty || !isOwner && written != nil
    if saysSomething { try file.write(to: clusterFile) } else { FileSystem.remove(clusterFile) }
  }

  /// What only the launcher of its controller has to say.
  private func describeCluster(in file: inout ClusterFile) {
    file.count = configuration.plan.engines
    file.controllerArguments = configuration.controllerArguments
    file.controllerIP = configuration.controllerIP
    file.controllerLocation = configuration.controllerLocation
    file.delay = configuration.plan.delay.seconds
    file.engineLauncher = configuration.launcherName
    if !hasLeft {
      file.supervisor = .init(pid: getpid(), outputFile: configuration.supervisorLog, began: ProcessTable.began(getpid()))
      file.restartsController = configuration.plan.restartsController
    }
    file.formerFiles = formerFiles.mapValues(\.text)
    if let controller { file.controller = .init(pid: controller.pid, outputFile: controller.outputFile) }
    if let controllerState {
      (file.controllerLauncher, file.originalController) = (configuration.controllerLauncherName, controllerState)
    }
  }

  mutating func removeFiles() {
    // A controller that could not begin is no reason to end what others have left.
    if isAboutToAdopt {
      controller = nil
      return updateClusterFile()
    }
    liveEngines = []
    settle(.removeFiles)
    removeControllerFiles()
    if configuration.plan.ownsController {
      if let controller { finishedLogs.append(controller.outputFile) }
      (controller, controllerState) = (nil, nil)
      // Files of one elsewhere are gone, as far as they were its own.
      if hasKilledController, configuration.controllerLauncher == nil {
        ControllerLeftovers.remove(
          configuration.profile, clusterID: configuration.clusterID, controllerArguments: configuration.controllerArguments)
      }
    }
    if FileSystem.exists(clusterFile) { leaveClusterFile() }
    for log in finishedLogs { FileSystem.remove(log) }
  }

  /// What other launchers have added goes on: whoever stops the cluster finds it by its file, which says nothing of us any more.
  private mutating func leaveClusterFile() {
    hasLeft = true
    do throws(ClusterError) {
      try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) in
        try writeClusterFileAlone()
        guard let status = try? ClusterStatus(reading: clusterFile) else { return }
        if !status.isRunning, status.file.launchers.isEmpty { FileSystem.remove(clusterFile) }
      }
    } catch { announcer.say(.warning, error.description) }
  }

  /// Lets the launcher do the last that there is to do, for as long as that may take.
  mutating func settle(_ request: LauncherSteps.Request) {
    _ = driver.send(request)
    if let state = Self.settle(driver) { setState = state }
  }

  mutating func settle(_ request: LauncherSteps.Request, _ other: WritableKeyPath<LaunchedProcesses, EngineDriver?>) {
    _ = self[keyPath: other]?.send(request)
    if let driver = self[keyPath: other] { _ = Self.settle(driver) }
  }

  /// - Returns: the set's state, if it was told meanwhile.
  private static func settle(_ driver: EngineDriver) -> JSONObject? {
    var state: JSONObject?
    let deadline = MonotonicClock.now + .seconds(15)
    while case .threaded(let thread) = driver {
      var descriptors = [pollfd(fd: thread.descriptor, events: Int16(POLLIN), revents: 0)]
      let left = (deadline - MonotonicClock.now).milliseconds
      guard left > 0, poll(&descriptors, 1, Int32(clamping: left)) >= 0 || errno == EINTR else { return state }
      let events = thread.read()
      for event in events { if case .started(let told) = event { state = told } }
      if events.contains(where: { if case .done = $0 { true } else { false } }) {
        thread.finish()
        return state
      }
    }
    return state
  }

  mutating func leaveRunning() -> Bool {
    if isFileStale { updateClusterFile() }
    if isFileStale {
      announcer.say(.error, "a cluster that its file does not name could not be stopped by anybody later: it is stopped now")
      return false
    }
    hasLeft = true
    updateClusterFile()
    settle(.leave)
    if controllerDriver != nil { settle(.leave, \.controllerDriver) }
    announcer.say(.info, "the cluster goes on in the background: 'apus stop' (or 'ipcluster stop') ends it; \(clusterFile)")
    return true
  }
}
