public import ApusMessaging
public import ApusProcess

/// What of a cluster's file is still true: engines and a controller that have ended are left out.
public struct ClusterStatus: Sendable, Hashable {
  public let path: String
  /// Without the processes that have ended.
  public private(set) var file: ClusterFile
  /// As it was read.
  private let original: ClusterFile
  /// What the file names as its controller, where that has ended without being asked to.
  public private(set) var deadController: ClusterFile.Process?
  /// What a launcher started that was killed before it could say so in the file.
  public private(set) var unnamed: [ClusterFile.Process] = []
  /// Why batch systems and hosts could not be asked.
  public private(set) var troubles: [ClusterError] = []
  /// The host of the program or of the launcher whose cluster it is, where that is another one: only there can be said what of it lives. It is all taken
  /// to do so.
  public let otherHost: String?
  /// The host on which its controller and its launcher were, where that is another one, and all of it was there. As far as can be told from here it has
  /// ended with that host, or runs there still: what its controller needs is not for us to remove.
  public let hostOfController: String?
  /// The file was written before the host was started anew: no process in it is there any more.
  let isOfFormerBoot: Bool

  public init(
    _ file: ClusterFile, path: String, isAlive: (ClusterFile.Process, ClusterFile) -> Bool = ProcessTable.isAlive(_:of:),
    started: (ClusterFile) -> [ClusterFile.Process] = ProcessTable.started(for:), host: String = ControllerAddress.hostName,
    boot: String? = ProcessTable.boot
  ) {
    self.path = path
    self.file = file
    original = file
    otherHost = Self.otherHost(of: file, host, boot)
    // Numbers of processes of another start of the host are of others by now.
    let hasRestarted = boot != nil && file.boot != nil && boot != file.boot
    let isNamedOther = file.host != nil && file.host != host
    isOfFormerBoot = hasRestarted && !isNamedOther
    let hasController = LauncherName(file.controllerLauncher).isLocal && (file.controller != nil || file.supervisor != nil)
    hostOfController = otherHost == nil && hasRestarted && isNamedOther && hasController ? file.host : nil
    if otherHost != nil { return }
    func isThere(_ process: ClusterFile.Process) -> Bool { !hasRestarted && isAlive(process, file) }
    if LauncherName(file.controllerLauncher).isLocal, let controller = file.controller, !isThere(controller) {
      deadController = controller
      self.file.controller = nil
    }
    self.file.launchers.removeAll { !isThere($0) }
    if let supervisor = file.supervisor, !isThere(supervisor) { self.file.supervisor = nil }
    let isLauncherDead = self.file.launchers.count < file.launchers.count || self.file.supervisor == nil && file.supervisor != nil
    for (id, set) in file.engineSets where set.state == nil {
      let engines = set.engines.filter { isThere($0.value) }
      if engines.isEmpty { self.file.engineSets[id] = nil } else { self.file.engineSets[id]?.engines = engines }
      if !engines.isEmpty { self.file.engineSets[id]?.count = engines.count }
    }
    if isLauncherDead {
      let named = Set(self.processes.map(\.pid))
      unnamed = started(file).filter { !named.contains($0.pid) }
    }
  }

  private static func otherHost(of file: ClusterFile, _ host: String, _ boot: String?) -> String? {
    guard let named = file.host, named != host else { return nil }
    if file.program != nil { return named }
    // One that has another name by now is the same host. And a cluster all of whose parts were there has ended with that host, if it has ended: a
    // container has another name each time.
    guard let began = file.boot, let boot, file.hasProcesses, !file.isLocal || !LauncherName(file.engineLauncher).isLocal else {
      return nil
    }
    return began == boot ? nil : named
  }

  /// For people: whose it is, of a cluster of another host.
  public var owner: String { file.program == nil ? "a launcher" : "a program" }

  public init(reading path: String) throws(ClusterError) { self.init(try ClusterFile(reading: path), path: path) }

  /// For whoever writes the file again and knows no more than which engines have ended: a controller and a launcher that have died still stand in it,
  /// for those who start them again, and for those who look for what they had begun.
  public var fileToKeep: ClusterFile {
    var kept = file
    (kept.controller, kept.supervisor) = (original.controller, original.supervisor)
    if !unnamed.isEmpty { kept.launchers = original.launchers }
    return kept
  }

  /// Asks batch systems, hosts and mpiexec how their engines are; without it, their engines count as running for as long as the file says so.
  /// Those that have ended are taken out of the sets and put among the ended.
  public mutating func ask(_ environment: Environment) {
    var statuses = [self]
    Self.ask(&statuses, environment)
    self = statuses[0]
  }

  /// The same of several clusters, all at once.
  /// - Parameter limit: for all of them together; who has not answered then counts as running, and is among the troubles.
  public static func ask(_ statuses: inout [ClusterStatus], _ environment: Environment, within limit: Duration = .seconds(20)) {
    let deadline = MonotonicClock.now + limit
    var inquiries: [(status: Int, set: String?, inquiry: SetInquiry)] = []
    for (index, status) in statuses.enumerated() where status.otherHost == nil {
      var context = LauncherContext(environment: environment, profile: ProfileDirectory(status.file.profile))
      context.deadline = deadline
      if let state = status.file.controllerElsewhere {
        inquiries.append((index, nil, SetInquiry(state, LauncherName(status.file.controllerLauncher), context)))
      }
      for (id, set) in status.file.engineSets.sorted(by: { $0.key < $1.key }) {
        guard let state = set.state else { continue }
        inquiries.append((index, id, SetInquiry(state, status.file.launcher(of: set), context)))
      }
    }
    for (index, set, inquiry) in inquiries {
      // A moment more than its commands have.
      switch inquiry.result(until: deadline + .seconds(2)) {
      case .failure(let error): statuses[index].troubles.append(error)
      case .success(let answer): statuses[index].note(answer, of: set)
      }
    }
  }

  private mutating func note(_ answer: SetInquiry.Answer, of set: String?) {
    guard let set else {
      // mpiexec is a process of this host: it stands in both.
      if answer.live.isEmpty { (file.controller, file.originalController) = (nil, nil) }
      return
    }
    if answer.live.isEmpty { file.engineSets[set] = nil } else { file.engineSets[set]?.count = answer.live.count }
    for place in file.ended.indices
    where file.ended[place].set == set && file.ended[place].consequence.isEmpty && answer.live.contains(file.ended[place].index) {
      file.ended[place].consequence = EndedEngine.hasReturned
    }
    // What ended in order is no news.
    for var engine in answer.ended
    where !engine.end.isSuccess && !file.ended.contains(where: { $0.set == set && $0.index == engine.index }) {
      engine.set = set
      file.ended.append(engine)
    }
  }

  /// Whether its controller kept a journal, as far as its file tells; one that was started by other launchers has been told so.
  var keepsJournal: Bool {
    guard file.program == nil, LauncherName(file.controllerLauncher).isLocal else { return false }
    // Where there is no launcher, nothing is said of it.
    if original.supervisor != nil, original.restartsController { return true }
    return file.controllerArguments.contains { $0.hasPrefix("--journal") || $0 == "--IPController.journal=True" }
  }

  /// Whether a file, read later, is of the same start: somebody may have started another cluster of its name meanwhile.
  func isOfSameStart(as later: ClusterStatus) -> Bool {
    let (old, new) = (original, later.original)
    if let supervisor = new.supervisor { return supervisor.isSame(as: old.supervisor) }
    // Its launcher had not named it yet, or has taken it out.
    guard let controller = new.controller, let former = old.controller else { return true }
    return controller.isSame(as: former)
  }

  /// A controller on another host, or in a batch system, counts as running for as long as its file says so.
  public var isControllerRunning: Bool {
    file.controller != nil || !LauncherName(file.controllerLauncher).isLocal && file.originalController != nil
  }
  /// Controller and launcher have both died, and engines are left.
  public var isAbandoned: Bool {
    !isControllerRunning && file.supervisor == nil && !hasOnlyEngines && !file.engineSets.isEmpty
  }
  /// The file names no controller and no launcher of one, dead or alive: what other launchers have added to a cluster that has ended, or to a
  /// controller that nobody watches over.
  var hasOnlyEngines: Bool { original.controller == nil && original.originalController == nil && original.supervisor == nil }
  /// A program that was its controller and its launcher has been killed: nobody but `stop` ends what it has left. Whether one of
  /// another host was killed is for that host to say.
  public var isLeftByProgram: Bool { file.program != nil && file.supervisor == nil }
  /// The controller has died, and its launcher starts it again.
  public var isRestarting: Bool { !isControllerRunning && file.supervisor != nil && file.restartsController }
  public var isRunning: Bool { isControllerRunning || file.supervisor != nil || !file.engineSets.isEmpty || !unnamed.isEmpty }
  /// Engines that are processes of this host.
  var localEngineCount: Int { file.engineSets.values.reduce(0) { $0 + $1.engines.count } }
  /// Whether no other system has, or is about to get, a part in it.
  var isHere: Bool { file.isLocal && LauncherName(file.engineLauncher).isLocal }
  public var engineCount: Int { file.engineSets.values.reduce(0) { $0 + $1.count } }

  /// Processes on this host that belong to the cluster.
  public var processes: [ClusterFile.Process] {
    if otherHost != nil { return [] }
    let controller = LauncherName(file.controllerLauncher).isLocal ? file.controller : nil
    let isOne = controller != nil && controller?.pid == file.supervisor?.pid
    // The supervisor first: it is not to start anything again.
    return [file.supervisor, isOne ? nil : controller].compactMap { $0 } + file.engineSets.values.flatMap(\.engines.values)
      + unnamed
  }

  /// Beginnings of the names of logs that the engines write.
  var logStems: [String] { file.engineSets.keys.map { "ipengine-\(file.clusterID)-\($0)" } }
}
