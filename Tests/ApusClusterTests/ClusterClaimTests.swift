import ApusMessaging
import ApusProcess
import Testing

@testable import ApusCluster

/// Starts that meet, and what a launcher leaves of a controller that did not end in order.
@Suite struct ClusterClaimTests {
  let directory = TemporaryDirectory()

  private struct Silent: ClusterAnnouncer {
    func say(_ level: LogLevel, _ text: String) {}
    func show(progress: String?) {}
    func announce(ready: String) {}
    func serving(_ code: ExitCode) {}
  }

  private func configuration(_ change: (inout ClusterLifecycle.Plan) -> Void = { _ in }) throws -> LaunchConfiguration {
    let profile = ProfileDirectory(directory.path)
    try profile.create()
    let command = ChildProcess.Command(program: "/no/program", arguments: ["/no/program"], environment: .current())
    var plan = ClusterLifecycle.Plan(engines: 1)
    change(&plan)
    return LaunchConfiguration(
      profile: profile, plan: plan, controller: command, engines: EngineJob(profile: profile, clusterID: "", command: command))
  }

  /// Both have looked before either has written.
  @Test func ofTwoStartsOneHasTheCluster() throws {
    let configuration = try configuration()
    var first = try LaunchedProcesses(configuration, announcer: Silent())
    var second = try LaunchedProcesses(configuration, announcer: Silent())
    // A launcher before was killed while it wrote it.
    directory.write("security/cluster-.json.12-345.new", "{")
    try first.claimClusterFile()
    #expect(!FileSystem.entries(of: configuration.profile.security).contains { $0.hasSuffix(".new") })
    let written = try AtomicFile.read(first.clusterFile)
    do throws(ClusterError) {
      try second.claimClusterFile()
      Issue.record("the cluster has two launchers")
    } catch { #expect(error.exitCode == .alreadyRunning) }
    #expect(try AtomicFile.read(first.clusterFile) == written)
  }

  @Test func aStartOfWhichNothingComesLeavesWhatWasThere() throws {
    let configuration = try configuration()
    let path = configuration.profile.clusterFile("")
    for former in [nil, "{\"cluster\": {\"cluster_id\": \"\"}, \"theirs\": 1}"] as [String?] {
      if let former { directory.write("security/cluster-.json", former) }
      var processes = try LaunchedProcesses(configuration, announcer: Silent())
      try processes.claimClusterFile()
      do throws(ClusterError) {
        try processes.startController()
        Issue.record("there is no such program")
      } catch { #expect(error.exitCode == .missingProgram) }
      #expect((try? FileSystem.text(of: path)) == former)
    }
  }

  /// Somebody has removed the file of a launcher that lives, and another one has taken the place.
  @Test func theFileOfAnotherLauncherIsLeftAlone() throws {
    let configuration = try configuration()
    var processes = try LaunchedProcesses(configuration, announcer: Silent())
    try processes.claimClusterFile()
    var other = ClusterFile(clusterID: "", profile: directory.path)
    // A process that lives, and is not this one.
    other.supervisor = .init(pid: 1, outputFile: "", began: ProcessTable.began(1))
    try other.write(to: processes.clusterFile)
    let written = try AtomicFile.read(processes.clusterFile)
    processes.updateClusterFile()
    processes.removeFiles()
    #expect(try AtomicFile.read(processes.clusterFile) == written)
  }

  @Test func aClusterThatBeginsWithNoEngineShowsOne() throws {
    var configuration = try configuration {
      $0.engines = 0
      $0.policy = AdaptivePolicy(minimum: 0, maximum: 4)
    }
    #expect(try configuration.preview().contains("1 process on this host"))
    configuration.plan.policy = nil
    #expect(try !configuration.preview().contains("on this host"))
  }

  @Test func programsOfTwoHostsHaveTwoNames() {
    #expect(ProgramEngines.clusterID(process: 7, host: "n1.cluster.example") == "program-7-n1")
    #expect(ProgramEngines.clusterID(process: 7, host: "n2") == "program-7-n2")
    #expect(ProgramEngines.clusterID(process: 7, host: "../x y") == "program-7")
    #expect(ProgramEngines.clusterID(process: 7, host: "a/b") == "program-7-ab")
    #expect(ProgramEngines.clusterID(process: 7, host: "") == "program-7")
  }
}
