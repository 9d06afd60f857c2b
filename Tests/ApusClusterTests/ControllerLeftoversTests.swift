import ApusMessaging
import ApusProcess
import Glibc
import Testing

@testable import ApusCluster

/// What is removed of a controller that did not end in order, and what is another's.
@Suite struct ControllerLeftoversTests {
  let directory = TemporaryDirectory()
  var profile: ProfileDirectory { ProfileDirectory(directory.path) }

  /// As a controller with a journal leaves it. The second one has written its connection files over those of the first.
  private func leaveJournal(key: String = "first", secret: String = "first") {
    directory.write("journal/id", "0123456789abcdef")
    directory.write("journal/00000001.log", "tasks")
    directory.write("security/ipcontroller-curve.json", #"{"curve_publickey": "\#(secret)"}"#)
    for kind in ["client", "engine"] {
      directory.write("security/ipcontroller-\(kind).json", #"{"curve_serverkey": "\#(key)"}"#)
    }
  }

  private var left: [String] {
    (FileSystem.entries(of: directory.path + "/journal") + FileSystem.entries(of: profile.security)).sorted()
  }

  @Test(arguments: [true, false]) func aJournalGoesWithTheControllerThatKeptIt(_ keptJournal: Bool) {
    leaveJournal(key: keptJournal ? "first" : "second")
    ControllerLeftovers.remove(profile, clusterID: "", controllerArguments: [], journal: keptJournal)
    #expect(left == (keptJournal ? [] : ["00000001.log", "id", "ipcontroller-curve.json"]))
  }

  /// The key is in them, too.
  @Test func whatAKilledControllerWasWritingGoesWithIt() {
    let unfinished = ["client", "engine", "curve"].map { "ipcontroller-\($0).json.17905-517103297.new" }
    func leave() {
      directory.write("log/engines.json.17905-3.new", "{")
      for name in unfinished + ["ipcontroller-other-client.json.7-7.new"] { directory.write("security/\(name)", "{") }
    }
    leave()
    leaveJournal()
    ControllerLeftovers.remove(profile, clusterID: "", controllerArguments: [], journal: true)
    #expect(left == ["ipcontroller-other-client.json.7-7.new"] && FileSystem.entries(of: profile.log).isEmpty)
    leave()
    ControllerLeftovers.removeNewJournal(profile, clusterID: "", controllerArguments: [])
    #expect(left == ["ipcontroller-other-client.json.7-7.new"])
  }

  /// It has its key there to use it again.
  @Test func connectionFilesWithTheirKeyStay() {
    leaveJournal()
    ControllerLeftovers.remove(profile, clusterID: "", controllerArguments: [], journal: false)
    #expect(left.count == 5)
  }

  @Test func whatSomebodyHasPutIntoAJournalStays() {
    leaveJournal()
    directory.write("journal/monday.txt", "mine")
    ControllerLeftovers.remove(profile, clusterID: "", controllerArguments: [], journal: true)
    #expect(left == ["monday.txt"])
    directory.write("journal/id", "0123456789abcdef")
    ControllerLeftovers.removeNewJournal(profile, clusterID: "", controllerArguments: [])
    #expect(left == ["monday.txt"])
  }

  private func file(_ change: (inout ClusterFile) -> Void = { _ in }) -> ClusterFile {
    var file = ClusterFile(clusterID: "", profile: directory.path)
    file.controller = .init(pid: 5, outputFile: "")
    file.supervisor = .init(pid: 6, outputFile: "", began: "60")
    file.isOfThisHost()
    change(&file)
    return file
  }

  private func status(_ change: (inout ClusterFile) -> Void = { _ in }) -> ClusterStatus {
    ClusterStatus(file(change), path: profile.clusterFile(""), isAlive: { _, _ in false }, started: { _ in [] })
  }

  @Test func theFileSaysWhetherThereWasAJournal() {
    #expect(status().keepsJournal)
    #expect(!status { $0.restartsController = false }.keepsJournal)
    // Without a launcher nothing is said of it.
    #expect(!status { $0.supervisor = nil }.keepsJournal)
    #expect(
      !status {
        $0.supervisor = nil
        $0.controllerArguments = ["--no-journal"]
      }.keepsJournal)
    for word in ["--journal", "--journal-sync=always"] {
      #expect(
        status {
          $0.supervisor = nil
          $0.controllerArguments = [word]
        }.keepsJournal)
    }
    #expect(!status { $0.program = "/p" }.keepsJournal)
  }

  @Test func aLaterStartIsToldFromTheSame() {
    let first = status()
    #expect(first.isOfSameStart(as: status()))
    #expect(first.isOfSameStart(as: status { $0.controller = .init(pid: 7, outputFile: "") }))
    #expect(first.isOfSameStart(as: status { ($0.controller, $0.supervisor) = (nil, nil) }))
    #expect(!first.isOfSameStart(as: status { $0.supervisor = .init(pid: 6, outputFile: "", began: "61") }))
    #expect(
      !first.isOfSameStart(
        as: status {
          $0.supervisor = .init(pid: 8, outputFile: "", began: "60")
          $0.controller = nil
        }))
    #expect(
      !first.isOfSameStart(
        as: status {
          $0.supervisor = nil
          $0.controller = .init(pid: 7, outputFile: "")
        }))
    // Its launcher has left it running.
    #expect(status { $0.controller = nil }.isOfSameStart(as: status { $0.supervisor = nil }))
  }

  /// One that is started again and again takes the place as soon as the launcher that is stopped has removed its file.
  @Test func aStopLeavesTheNextClusterAlone() throws {
    try profile.create()
    let launcher = try ChildProcess.start(
      .init(program: "/bin/sleep", arguments: ["/bin/sleep", "1000"], environment: .current()), outputFile: "/dev/null")
    let next = try ChildProcess.start(
      .init(program: "/bin/sleep", arguments: ["/bin/sleep", "1000"], environment: .current()), outputFile: "/dev/null")
    defer {
      for pid in [launcher.pid, next.pid] {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
      }
    }
    let stopped = ClusterStatus(
      file {
        $0.controller = nil
        $0.supervisor = .init(pid: launcher.pid, outputFile: "", began: ProcessTable.began(launcher.pid))
      }, path: profile.clusterFile(""))
    try file {
      $0.controller = .init(pid: next.pid, outputFile: "", began: ProcessTable.began(next.pid))
      $0.supervisor = .init(pid: next.pid, outputFile: "", began: ProcessTable.began(next.pid))
    }.write(to: stopped.path)
    leaveJournal()
    let result = try ClusterStopper.stop(stopped, .current())
    #expect(result.processes == 1 && !ProcessTable.isRunning(launcher.pid))
    #expect(ProcessTable.isRunning(next.pid) && FileSystem.exists(stopped.path))
    #expect(left.contains("id") && left.contains("ipcontroller-client.json"))
  }

  /// All of it is processes of another host, which has the home too.
  @Test func onlyItsHostSaysWhetherALocalClusterHasEnded() throws {
    try profile.create()
    leaveJournal()
    func isOf(_ host: String?, _ boot: String?) -> ClusterStatus {
      status {
        $0.host = host
        $0.boot = boot
      }
    }
    #expect(isOf("there", "other").hostOfController == "there")
    // The same host under another name, or started anew, or nobody knows.
    for own in [
      isOf("there", ProcessTable.boot), isOf(ControllerAddress.hostName, "other"), isOf(nil, "other"), isOf("there", nil),
    ] {
      #expect(own.hostOfController == nil)
    }
    let other = isOf("there", "other")
    try other.file.write(to: other.path)
    #expect(throws: ClusterError.self) { try ClusterStopper.stop(other, .current()) }
    #expect(left.contains("id") && left.contains("cluster-.json"))
  }

  private struct Silent: ClusterAnnouncer {
    func say(_ level: LogLevel, _ text: String) {}
    func show(progress: String?) {}
    func announce(ready: String) {}
    func serving(_ code: ExitCode) {}
  }

  /// The host was started anew, and what the cluster before had there has ended.
  @Test func aLauncherIsOfThisStartOfTheHostWhateverTheFileSaysOfTheOther() throws {
    try profile.create()
    try file { $0.boot = "former" }.write(to: profile.clusterFile(""))
    let command = ChildProcess.Command(program: "/no/program", arguments: ["/no/program"], environment: .current())
    var plan = ClusterLifecycle.Plan(engines: 1)
    plan.ownsController = false
    var processes = try LaunchedProcesses(
      LaunchConfiguration(
        profile: profile, plan: plan, controller: command, engines: EngineJob(profile: profile, clusterID: "", command: command)),
      announcer: Silent())
    processes.updateClusterFile()
    let status = try ClusterStatus(reading: profile.clusterFile(""))
    #expect(status.file.launchers.map(\.pid) == [getpid()] && status.file.boot == ProcessTable.boot)
    #expect(status.deadController == nil && status.hasOnlyEngines)
  }
}
