import ApusClient
import ApusCluster
import ApusMessaging

/// The number of engines of a cluster that nobody watches over: what was started with `--daemonize --no-journal`, on this machine.
///
/// Engines are added as `apus engines` adds them, and go as they do with a launcher: nobody who computes, or may hold names.
struct UnsupervisedScaling {
  private let context: CommandContext
  private let patience: Duration?

  /// An engine says goodbye first, and ends then.
  private static let endPatience = Duration.seconds(10)
  private static let pause = Duration.milliseconds(50)

  init(_ context: CommandContext, _ patience: Duration?) { (self.context, self.patience) = (context, patience) }

  func scale(_ client: Client, to number: Int, isForced: Bool) async throws -> ExitCode {
    let present = try await self.demand(client).engines.count { !$0.isDraining }
    if present == number { return end(.success, Self.words(number)) }
    let status = try cluster()
    var policy = AdaptivePolicy(minimum: number, maximum: number)
    policy.wished(ScalingWish(minimum: number, maximum: number, isForced: isForced))
    let demand = try await self.demand(client)
    let decision = policy.decide(demand, starting: 0, now: .zero) { place(of: $0, in: status) != nil }
    if decision.start > 0 {
      let code = try start(decision.start)
      guard code == .success else { return code }
    } else if !decision.drain.isEmpty {
      try await client.drain(decision.drain.map { EngineID($0) }, thenStop: true)
      guard let left = try await waitForEnd(of: decision.drain, client) else { return .timedOut }
      try forget(demand.engines.filter { decision.drain.contains($0.id) }, status)
      if let kept = policy.keeps(left, starting: 0) { return end(.failure, kept) }
    } else if let kept = policy.keeps(demand, starting: 0) {
      return end(.failure, kept)
    }
    let count = try await self.demand(client).engines.count { !$0.isDraining }
    let words = Self.words(count)
    return count == number
      ? end(.success, words) : end(.failure, "\(words): others were started by other launchers, or have come or gone meanwhile")
  }

  private static func words(_ count: Int) -> String { count == 1 ? "1 engine" : "\(count) engines" }

  /// Whether somebody is there after all.
  var hasLauncher: Bool {
    get throws(ClusterError) {
      let id = try context.configuration.string("cluster_id", of: context.command.application) ?? ""
      guard let status = try? ClusterStatus(reading: context.selection.profile.clusterFile(id)) else { return false }
      return status.file.supervisor != nil || status.file.controller.map(ProcessTable.hasLauncher) ?? false
    }
  }

  /// - Throws: where engines cannot be started from here.
  private func cluster() throws(ClusterError) -> ClusterStatus {
    let id = try context.configuration.string("cluster_id", of: context.command.application) ?? ""
    let path = context.selection.profile.clusterFile(id)
    let isByFile = try !(context.configuration.string("url_file", of: context.command.application) ?? "").isEmpty
    guard !isByFile, FileSystem.exists(path) else {
      throw ClusterError(
        .failure, "no launcher watches over this cluster, and it was not started from here",
        advice: "'apus engines' adds engines where the profile is; 'apus start --min=…' starts a cluster that follows its work.")
    }
    let status = try ClusterStatus(reading: path)
    let launcher = LauncherName(status.file.engineLauncher)
    guard launcher.isLocal else {
      throw ClusterError(
        .failure, "no launcher watches over this cluster, whose engines were started by \(launcher.title)",
        advice:
          "'apus engines' adds some, with the options that \(launcher.title) needs; 'apus start --min=…' starts a cluster that follows its work."
      )
    }
    return status
  }

  private func demand(_ client: Client) async throws -> ClusterDemand {
    guard let demand = ClusterDemand(try await client.demand()) else {
      throw ClusterError(.unsupported, "this controller does not tell what its engines do", advice: "It is not one of Apus.")
    }
    return demand
  }

  private func start(_ number: Int) throws(ClusterError) -> ExitCode {
    let id = try context.configuration.string("cluster_id", of: context.command.application) ?? ""
    let words = ["-n", String(number), "--daemonize", "--profile-dir=\(context.selection.profile.location)", "--cluster-id=\(id)"]
    let engines = try CommandContext(.engines, try CommandLineParser.parse(words, for: .engines), output: context.output)
    return try StartCommand(engines).run()
  }

  /// - Returns: what is left; `nil` where time runs out.
  private func waitForEnd(of ids: [Int], _ client: Client) async throws -> ClusterDemand? {
    let deadline = patience.map { ContinuousClock.now + $0 }
    defer { context.output.progress(nil) }
    while true {
      let demand = try await demand(client)
      let left = demand.engines.count { ids.contains($0.id) }
      if left == 0 { return demand }
      context.output.progress("\(left) finishing what they have")
      if let deadline, deadline <= .now {
        context.note(.warning, "time is over: \(left) of \(ids.count) engines have not finished what they have")
        return nil
      }
      // The number changes with each engine that goes.
      try await Task.sleep(for: Self.pause)
    }
  }

  private func place(of engine: ClusterDemand.Engine, in status: ClusterStatus) -> (set: String, index: String)? {
    guard let origin = engine.origin else { return nil }
    for (id, set) in status.file.engineSets {
      let mark = "\(status.file.profile):\(status.file.clusterID):\(id)#"
      let index = String(origin.dropFirst(mark.count))
      if origin.hasPrefix(mark), set.engines[index] != nil { return (id, index) }
    }
    return nil
  }

  /// What has ended as it was asked to leaves no log, and does not stand in the cluster's file.
  private func forget(_ engines: [ClusterDemand.Engine], _ before: ClusterStatus) throws(ClusterError) {
    let processes = engines.compactMap { place(of: $0, in: before) }.compactMap {
      before.file.engineSets[$0.set]?.engines[$0.index]
    }
    let left = ClusterStopper.waitForEnd(of: processes, atMost: Self.endPatience)
    for process in processes where !left.contains(process) && !process.outputFile.isEmpty { FileSystem.remove(process.outputFile) }
    try ClusterFile.whileLocked(before.path) { () throws(ClusterError) in
      try ClusterStatus(reading: before.path).fileToKeep.write(to: before.path)
    }
  }

  private func end(_ code: ExitCode, _ words: String) -> ExitCode {
    context.note(code == .success ? .info : .warning, words)
    return code
  }
}
