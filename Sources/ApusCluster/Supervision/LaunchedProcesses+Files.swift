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

  /// Takes the cluster's place, before there is a process: whoever stops the cluster finds by its file and its mark what we have started when we are
  /// killed here.
  /// - Throws: where another start has taken it since we looked.
  mutating func claimClusterFile() throws(ClusterError) {
    // What it said of engines that outlived their launcher is to be known again if nothing comes of this.
    formerContents = try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) -> [UInt8]? in
      let former = try? AtomicFile.read(clusterFile)
      if former != nil, let status = try? ClusterStatus(reading: clusterFile),
        status.file.supervisor != nil || status.isControllerRunning
      {
        throw Self.alreadyRunning(status)
      }
      // Of launchers that were killed while they wrote it: nobody else does now.
      AtomicFile.removeUnfinished(clusterFile)
      try writeClusterFileAlone()
      return former
    }
    isFileOurs = true
  }

  /// Nothing has come of the start.
  mutating func renounceClusterFile() {
    isFileOurs = false
    do throws(ClusterError) {
      try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) in
        if isTaken { return }
        guard let formerContents else {
          FileSystem.remove(clusterFile)
          return
        }
        do throws(FileError) { try AtomicFile.write(formerContents, to: clusterFile, mode: 0o600) } catch {
          throw ClusterError(.cannotWrite, "\(error)")
        }
      }
    } catch { announcer.say(.warning, "what \(clusterFile) said before could not be written again: \(error.reason)") }
  }

  /// Whether the file is that of another launcher, which has come after somebody had removed ours.
  private var isTaken: Bool {
    guard let supervisor = (try? ClusterStatus(reading: clusterFile))?.file.supervisor else { return false }
    return supervisor.pid != getpid()
  }

  func writeClusterFile() throws(ClusterError) {
    try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) in try writeClusterFileAlone() }
  }

  private func writeClusterFileAlone() throws(ClusterError) {
    let isOwner = configuration.plan.ownsController
    if isOwner, isFileOurs, isTaken { return }
    // Beside other engine sets of the same cluster, which other launchers wrote.
    let status = isOwner && !isFileOurs ? nil : try? ClusterStatus(reading: clusterFile)
    let written = status?.fileToKeep
    var file = ClusterFile(clusterID: configuration.clusterID, profile: configuration.profile.location)
    if isOwner {
      file.others = (written ?? fileOfBefore)?.others ?? file.others
      file.engineSets = written?.engineSets ?? adopted?.others ?? setsOfBefore
      file.ended = written?.ended.filter { $0.set != setID } ?? []
      file.launchers = (written ?? fileOfBefore)?.launchers ?? []
      describeCluster(in: &file)
    } else {
      file = written ?? file
      // What is of another start of this host has ended with that; we have not.
      if status?.isOfFormerBoot == true {
        file.supervisor = nil
        if LauncherName(file.controllerLauncher).isLocal { (file.controller, file.originalController) = (nil, nil) }
        file.isOfThisHost()
      }
      file.launchers.removeAll { $0.pid == getpid() }
      // What was stopped meanwhile does not come back.
      if !hasLeft, written != nil || !isFileOurs {
        file.launchers.append(.init(pid: getpid(), outputFile: "", began: ProcessTable.began(getpid())))
      }
    }
    for engine in ended where !file.ended.contains(engine) { file.ended.append(engine) }
    if isOwner { file.isOfThisHost() }
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

  /// That the controller did not read the journal to its end was our wish, or that of whoever stopped us.
  private func forgetAttempts() {
    guard configuration.plan.restartsController, hadJournal, hasAskedController, !hasServedClients, !isTaken else { return }
    JournalDirectory(configuration.profile, clusterID: configuration.clusterID).forgetAttempts()
  }

  mutating func removeFiles() {
    forgetAttempts()
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
      if configuration.controllerLauncher == nil { removeLeftovers() }
    }
    if FileSystem.exists(clusterFile) { leaveClusterFile() }
    for log in finishedLogs { FileSystem.remove(log) }
  }

  /// What a controller of this host removes when it ends in order, of one that has not: also of one that was dead when the cluster was asked to end.
  private func removeLeftovers() {
    let endedInOrder = if case .exited(0)? = controllerStatus { true } else { false }
    if endedInOrder, !hasKilledController { return }
    // What is there is for the controller of the launcher that has come after us.
    if isTaken { return }
    let (profile, id, arguments) = (configuration.profile, configuration.clusterID, configuration.controllerArguments)
    let hasJournal = configuration.plan.restartsController
    if !hasServedClients {
      // What a controller before has left is for the next one: this one never served.
      if hadJournal { return }
      if !hasKilledController {
        if hasJournal { ControllerLeftovers.removeNewJournal(profile, clusterID: id, controllerArguments: arguments) }
        return
      }
    }
    if keepsJournal { return }
    ControllerLeftovers.remove(profile, clusterID: id, controllerArguments: arguments, journal: hasJournal)
  }

  /// The controller's connection files were there.
  private var hasServedClients: Bool { connection != nil }

  /// Nobody has asked for the end of the tasks: the controller died, again and again. A journal that is there beside one that keeps none is none of its.
  var keepsJournal: Bool {
    hasLostController && configuration.plan.restartsController
      && JournalDirectory(configuration.profile, clusterID: configuration.clusterID).isThere
  }

  /// What other launchers have added goes on: whoever stops the cluster finds it by its file, which says nothing of us any more.
  private mutating func leaveClusterFile() {
    hasLeft = true
    do throws(ClusterError) {
      try ClusterFile.whileLocked(clusterFile) { () throws(ClusterError) in
        try writeClusterFileAlone()
        guard !isTaken, let status = try? ClusterStatus(reading: clusterFile) else { return }
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
