import ApusMessaging
import ApusProcess
import Glibc
import Testing

@testable import ApusCluster

@Suite struct ClusterFileTests {
  let directory = TemporaryDirectory()

  /// As `ipcluster start -n 2` of ipyparallel 9.2.0 wrote it.
  static let stock = """
    {"cluster": {"cluster_id": "", "controller_args": [], "controller_ip": "", "controller_location": "", "delay": 1.0, "n": 2, \
    "profile_dir": "/i/profile_default", "class": "ipyparallel.cluster.cluster.Cluster"}, "controller": {"class": "local", "state": \
    {"cluster_id": "", "output_file": "/i/profile_default/log/ipcontroller-4145.log", "pid": 4147, "profile_dir": \
    "/i/profile_default", "state": "running"}}, "engines": {"class": "local", "sets": {"1795437421": {"cluster_id": "", "n": 2, \
    "pid": -1, "profile_dir": "/i/profile_default", "state": "running", "engines": {"0": {"cluster_id": "", "n": 1, "output_file": \
    "/i/profile_default/log/ipengine--1795437421-0.log", "pid": 4239, "profile_dir": "/i/profile_default", "state": "running"}, \
    "1": {"cluster_id": "", "n": 1, "output_file": "/i/profile_default/log/ipengine--1795437421-1.log", "pid": 4268, \
    "profile_dir": "/i/profile_default", "state": "running"}}}}}}
    """

  /// As a `Cluster` writes it whose engines another launcher started.
  static let slurm = """
    {"cluster": {"cluster_id": "s", "controller_args": ["--x"], "controller_ip": "*", "controller_location": "n1", "delay": 0.5, \
    "n": null, "profile_dir": "/i/profile_default", "class": "my.Cluster"}, "controller": {"class": "slurm", "state": {"cluster_id": \
    "s", "job_id": "17", "profile_dir": "/i/profile_default", "state": "running"}}, "engines": {"class": "slurm", "sets": {"9": \
    {"cluster_id": "s", "job_id": "18", "n": 64, "profile_dir": "/i/profile_default", "state": "running"}}}}
    """

  func read(_ text: String, _ name: String = "cluster-.json") throws -> ClusterFile {
    directory.write(name, text)
    return try ClusterFile(reading: "\(directory.path)/\(name)")
  }

  @Test(arguments: [stock, slurm]) func whatIpyparallelWritesComesBackUnchanged(_ text: String) throws {
    #expect(try read(text).json == JSONValue(parsing: text))
  }

  @Test func theContentsAreUnderstood() throws {
    let file = try read(Self.stock)
    #expect(file.controller == .init(pid: 4147, outputFile: "/i/profile_default/log/ipcontroller-4145.log"))
    #expect(file.engineSets["1795437421"]?.engines.values.map(\.pid).sorted() == [4239, 4268])
    #expect(file.isLocal)
    #expect(try !read(Self.slurm).isLocal)
  }

  @Test func jobsHostsAndEndsAreKept() throws {
    var file = ClusterFile(clusterID: "", profile: "/i/profile_default")
    file.engineLauncher = "slurm"
    let state: JSONObject = [
      "n": 3, "job_id": "12",
      "apus": [
        "launcher": "slurm", "jobs": [["id": "12", "first": 0, "n": 3, "output_file": "/o", "script": "/s", "array": true]],
      ],
    ]
    file.set("7", state)
    file.ended = [EndedEngine(index: 1, end: .timeLimit, place: "job 12, node n1", lines: ["the last line"])]
    let path = "\(directory.path)/cluster-.json"
    try file.write(to: path)
    let read = try ClusterFile(reading: path)
    #expect(read == file)
    #expect(read.engineSets["7"]?.count == 3)
    #expect(!read.isLocal)
    #expect(read.json["engines"]?["sets"]?["7"] == .object(state))
  }

  @Test func deadProcessesAreLeftOut() throws {
    let file = try read(Self.stock)
    func status(alive: Set<Int32>) -> ClusterStatus { ClusterStatus(file, path: "p") { process, _ in alive.contains(process.pid) } }
    #expect(status(alive: [4147, 4239, 4268]).engineCount == 2)
    #expect(status(alive: [4147, 4268]).engineCount == 1)
    #expect(status(alive: [4147, 4268]).processes.count == 2)
    #expect(status(alive: [4147]).isRunning)
    #expect(status(alive: [4147]).file.engineSets.isEmpty)
    #expect(!status(alive: [4268]).isControllerRunning)
    #expect(status(alive: [4268]).isRunning)
    #expect(!status(alive: []).isRunning)
    let batch = ClusterStatus(try read(Self.slurm), path: "p") { _, _ in false }
    #expect(batch.isRunning)
    #expect(batch.engineCount == 64)
    #expect(batch.processes.isEmpty)
  }

  /// A launcher was killed between the start of a process and the file that names it.
  @Test func whatADeadLauncherHasStartedIsFound() throws {
    var file = try read(Self.stock)
    file.supervisor = .init(pid: 77, outputFile: "", began: "5")
    #expect(try ClusterFile(file.json, path: "cluster-.json") == file)
    let found = ClusterFile.Process(pid: 4711, outputFile: "")
    func status(alive: Set<Int32>) -> ClusterStatus {
      ClusterStatus(
        file, path: "p", isAlive: { process, _ in alive.contains(process.pid) },
        started: { _ in [found, .init(pid: 4147, outputFile: "")] })
    }
    #expect(status(alive: []).processes.map(\.pid) == [4711, 4147] && status(alive: []).isRunning)
    #expect(status(alive: [4147]).processes.map(\.pid) == [4147, 4711])
    // One that lives will say it.
    #expect(status(alive: [77, 4147]).processes.map(\.pid) == [77, 4147])
    #expect(status(alive: [77]).isRunning)
  }

  /// Another version, or another program, finds again what it has put there.
  @Test func whatNobodyKnowsIsKept() throws {
    let text = """
      {"cluster": {"cluster_id": "", "controller_args": [], "controller_ip": "", "controller_location": "", "delay": 0.0, "n": 1, \
      "profile_dir": "/i", "class": "c", "new": 1}, "controller": {"class": "local", "new": 2, "state": {"cluster_id": "", \
      "output_file": "/o", "pid": 5, "profile_dir": "/i", "state": "running", "new": 3}}, "supervisor": {"class": "local", "state": \
      {"cluster_id": "", "output_file": "", "pid": 6, "profile_dir": "/i", "state": "running"}, "restarts_controller": true, \
      "new": 4}, "engines": {"class": "local", "new": 5, "sets": {"1": {"cluster_id": "", "n": 1, "pid": -1, "profile_dir": "/i", \
      "state": "running", "new": 6, "engines": {"0": {"cluster_id": "", "n": 1, "output_file": "/e", "pid": 7, "profile_dir": "/i", \
      "state": "running", "new": 7}}}}}, "apus": {"new": 8}, "new": {"a": [9]}}
      """
    #expect(try read(text).json == JSONValue(parsing: text))
    var file = try read(text)
    (file.supervisor, file.controller, file.originalController) = (nil, nil, nil)
    #expect(file.json["supervisor"] == nil && file.json["controller"] == nil)
    #expect(file.json["new"] != nil && file.json["apus"]?["new"] == 8)
  }

  @Test func whoeverWritesTheFileAgainKeepsADeadLauncher() throws {
    var file = try read(Self.stock)
    file.supervisor = .init(pid: 77, outputFile: "", began: "5")
    file.launchers = [.init(pid: 78, outputFile: ""), .init(pid: 79, outputFile: "")]
    func kept(alive: Set<Int32>, unnamed: [Int32]) -> ClusterFile {
      ClusterStatus(
        file, path: "p", isAlive: { process, _ in alive.contains(process.pid) },
        started: { _ in unnamed.map { .init(pid: $0, outputFile: "") } }
      ).fileToKeep
    }
    // The one has started something that the file does not name.
    let some = kept(alive: [79, 4239], unnamed: [4711])
    #expect(some.supervisor?.pid == 77 && some.controller?.pid == 4147 && some.launchers.map(\.pid) == [78, 79])
    #expect(some.engineSets.values.first?.engines.count == 1)
    let none = kept(alive: [79], unnamed: [])
    #expect(none.supervisor?.pid == 77 && none.launchers.map(\.pid) == [79] && none.engineSets.isEmpty)
  }

  @Test func aClusterThatHasEndedIsNotAbandoned() throws {
    var file = try read(Self.stock)
    func status() -> ClusterStatus {
      ClusterStatus(file, path: "p", isAlive: { process, _ in process.pid == 4239 }, started: { _ in [] })
    }
    // Its controller died.
    #expect(status().isAbandoned && !status().hasOnlyEngines)
    // The launcher had noticed, and died before it could start another.
    (file.controller, file.originalController) = (nil, nil)
    file.supervisor = .init(pid: 77, outputFile: "", began: "5")
    #expect(status().isAbandoned)
    // Both ended in order: what is left was added by others.
    file.supervisor = nil
    #expect(!status().isAbandoned && status().hasOnlyEngines && status().isRunning)
  }

  /// The home of many hosts has the files of programs of all of them.
  @Test(
    arguments: [
      // Its host and that host's start, and whether it counts as killed where its process is not there.
      ("here", "1", true), ("here", nil, true), (nil, nil, true), ("there", "1", false), ("there", "2", false),
      ("there", nil, false),
    ] as [(String?, String?, Bool)])
  func onlyTheHostOfAProgramSaysWhetherItWasKilled(_ host: String?, _ boot: String?, _ isLeft: Bool) throws {
    var file = ClusterFile(clusterID: "program-77", profile: "/i")
    (file.program, file.host, file.boot) = ("/p", host, boot)
    let process = ClusterFile.Process(pid: 77, outputFile: "", began: "5")
    (file.controller, file.supervisor) = (process, process)
    let again = try ClusterFile(file.json, path: "cluster-program-77.json")
    #expect(again.json == file.json && again.host == host && again.boot == boot)
    let status = ClusterStatus(file, path: "p", isAlive: { _, _ in false }, started: { _ in [] }, host: "here", boot: "1")
    #expect(status.isLeftByProgram == isLeft && status.isRunning != isLeft)
    #expect(status.otherHost == (isLeft ? nil : host))
    // What has their numbers here is others.
    #expect(status.processes.isEmpty)
    if !isLeft { #expect(throws: ClusterError.self) { try ClusterStopper.stop(status, Environment([:])) } }
  }

  /// Several hosts from which jobs are submitted share a home: what has the numbers there is others here, and the launcher there would go on.
  @Test func onlyTheHostOfALauncherSaysWhetherItLives() throws {
    var file = ClusterFile(clusterID: "", profile: "/i")
    (file.host, file.boot) = ("there", "2")
    file.supervisor = .init(pid: 77, outputFile: "", began: "5")
    #expect(
      ClusterStatus(file, path: "p", isAlive: { _, _ in false }, started: { _ in [] }, host: "here", boot: "1").otherHost == nil)
    file.engineLauncher = "slurm"
    func status(host: String = "here", boot: String? = "1") -> ClusterStatus {
      ClusterStatus(file, path: "p", isAlive: { _, _ in false }, started: { _ in [] }, host: host, boot: boot)
    }
    let other = status()
    #expect(other.otherHost == "there" && other.isRunning && other.processes.isEmpty)
    do throws(ClusterError) {
      try ClusterStopper.stop(other, Environment([:]))
      Issue.record("it was stopped")
    } catch { #expect(error.reason.contains("a launcher on there")) }
    // Its own host, started anew or not, also where that has another name by now.
    for own in [status(host: "there", boot: "2"), status(host: "there", boot: "1"), status(boot: "2"), status(boot: nil)] {
      #expect(own.otherHost == nil && !own.isRunning)
    }
    // Jobs without a launcher are everybody's.
    file.supervisor = nil
    file.set("7", ["n": 3, "job_id": "12"])
    #expect(status().otherHost == nil && status().isRunning)
  }

  /// One that nobody can end is no reason to leave the others.
  @Test func whatIsNotUnderstoodKeepsNoOtherFromItsEnd() throws {
    let profile = ProfileDirectory(directory.path)
    try profile.create()
    let process = try ChildProcess.start(
      .init(program: "/bin/sleep", arguments: ["/bin/sleep", "1000"], environment: .current()),
      outputFile: "\(directory.path)/log/x")
    var file = ClusterFile(clusterID: "", profile: directory.path)
    file.engineSets["1"] = .init(
      count: 1, engines: ["0": .init(pid: process.pid, outputFile: "", began: ProcessTable.began(process.pid))])
    file.set("2", ["n": 1, "apus": ["launcher": "nosuch"]])
    let path = profile.clusterFile("")
    try file.write(to: path)
    #expect(throws: ClusterError.self) { try ClusterStopper.stop(try ClusterStatus(reading: path), .current()) }
    #expect(!ProcessTable.isRunning(process.pid))
    #expect(FileSystem.exists(path))
  }

  @Test func aProgramDoesNotOutliveItsHostsStart() {
    var file = ClusterFile(clusterID: "program-77", profile: "/i")
    (file.program, file.host, file.boot) = ("/p", "here", "1")
    file.supervisor = .init(pid: 77, outputFile: "", began: "5")
    func isLeft(boot: String?) -> Bool {
      ClusterStatus(file, path: "p", isAlive: { _, _ in true }, started: { _ in [] }, host: "here", boot: boot).isLeftByProgram
    }
    #expect(isLeft(boot: "2") && !isLeft(boot: "1") && !isLeft(boot: nil))
  }

  @Test func aProgramsFileNamesItsHost() throws {
    let profile = ProfileDirectory(directory.path)
    try FileSystem.makeDirectory(profile.security)
    try ProgramClusterFile(profile, clusterID: "program-7", launcher: "slurm", engines: 1, program: "/p").write()
    let status = try ClusterStatus(reading: profile.clusterFile("program-7"))
    #expect(status.file.host == ControllerAddress.hostName && status.file.boot == ProcessTable.boot)
    #expect(status.otherHost == nil && !status.isLeftByProgram && status.isRunning)
  }

  @Test func numbersThatAreUsedAgainAreOthers() throws {
    let file = try read(Self.stock)
    let began = try #require(ProcessTable.began(getpid()))
    #expect(ProcessTable.isAlive(.init(pid: getpid(), outputFile: "", began: began), of: file))
    #expect(!ProcessTable.isAlive(.init(pid: getpid(), outputFile: "", began: "1"), of: file))
  }

  @Test func processesAreFoundByTheirMark() throws {
    let profile = directory.path
    var environment = Environment.current()
    environment[EngineJob.localMark] = "\(profile):x:7-controller"
    let command = ChildProcess.Command(program: "sleep", arguments: ["sleep", "60"], environment: environment)
    let process = try ChildProcess.start(command, outputFile: "/dev/null")
    defer {
      kill(process.pid, SIGKILL)
      var status: Int32 = 0
      waitpid(process.pid, &status, 0)
    }
    #expect(ProcessTable.started(for: ClusterFile(clusterID: "x", profile: profile)).map(\.pid) == [process.pid])
    #expect(ProcessTable.started(for: ClusterFile(clusterID: "", profile: profile)).isEmpty)
  }

  @Test(arguments: ["", "{", "[]", "{}", "{\"cluster\": 3}"])
  func damagedFilesAreAnError(_ text: String) throws {
    let error = try #require(throws: ClusterError.self) { try read(text) }
    #expect(error.exitCode == .damagedFile)
  }

  @Test func absurdContentsChangeNothing() throws {
    let file = try read(
      #"{"cluster": {}, "controller": {"state": {"pid": -5}}, "engines": {"sets": {"1": 3, "2": {"engines": {"0": 7, "1": {"pid": 1e99}}}}}}"#,
      "cluster-x.json")
    #expect(file.clusterID == "x")
    #expect(file.controller == nil)
    #expect(ClusterStatus(file, path: "p").processes.isEmpty)
  }

  @Test func processesWithoutAClustersEnvironmentAreStrangers() throws {
    let file = try read(Self.stock)
    // This process is alive, and no part of a cluster.
    #expect(!ProcessTable.isAlive(.init(pid: getpid(), outputFile: ""), of: file))
    #expect(!ProcessTable.isAlive(.init(pid: 0x3FFF_FFFF, outputFile: ""), of: file))
  }

  @Test(arguments: [
    ("local", "Local"), ("slurm", "Slurm"), ("ssh", "SSH"), ("ipyparallel.cluster.launcher:MPIEngineSetLauncher", "MPI"),
    ("my.Own", "Own"),
  ])
  func titles(_ name: String, _ title: String) { #expect(LauncherName(name).title == title) }

  @Test func onlyTheLocalLauncherIsThere() throws {
    #expect(LauncherName("ipyparallel.cluster.launcher.LocalEngineSetLauncher").isLocal)
    #expect(LauncherName("Local").isLocal)
    #expect(
      try #require(throws: ClusterError.self) {
        try LauncherName("SSHProxy").require(oneOf: LauncherRegistry.names, for: "engines")
      }.exitCode == .unsupported)
    #expect(
      try #require(throws: ClusterError.self) { try LauncherName("lokal").require(oneOf: LauncherRegistry.names, for: "engines") }
        .reason.contains("'local'"))
  }
}
