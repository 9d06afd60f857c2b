import ApusMessaging
import ApusProcess
import Testing

@testable import ApusCluster

/// Controllers that are no process of this host.
@Suite struct ControllerElsewhereTests {
  var recorder = ClusterLifecycleTests.Recorder()
  let now = Duration.seconds(100)

  func queued() -> ClusterLifecycle {
    var plan = ClusterLifecycle.Plan(engines: 1)
    plan.controllerQueues = true
    plan.giveUpAfter = .seconds(60)
    return ClusterLifecycle(plan, now: now)
  }

  @Test mutating func timeInAQueueDoesNotCount() {
    var life = queued()
    life.controllerWaits(reason: "Priority", &recorder)
    recorder.expect("controllerWaits(reason: \"Priority\")")
    for hour in 1...3 {
      life.timePassed(now: now + .seconds(hour * 3600), &recorder)
      recorder.expect()
    }
    let later = now + .seconds(20_000)
    life.controllerRuns(now: later)
    #expect(life.deadline == later + .seconds(60))
    life.timePassed(now: later + .seconds(60), &recorder)
    recorder.expect("controllerTimedOut(after: \(Duration.seconds(60)))", "unwatch", "signal 15 controller []")
  }

  @Test mutating func itsReasonIsTold() {
    var life = queued()
    life.controllerRuns(now: now)
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(1, now: now, &recorder)
    recorder.done = []
    life.controllerEnded(.nodeLost("n3"), now: now, &recorder)
    recorder.expect("controllerEnded(\(EngineEnd.nodeLost("n3")), early: false)", "file", "unwatch", "signal 15 [0]")
    life.engineEnded(0, .exited(0), now: now, &recorder)
    #expect(life.exitCode == .failure)
  }

  @Test mutating func aRefusalHasItsCode() {
    var life = queued()
    life.controllerEnded(.refused("no such queue"), now: now, &recorder)
    #expect(life.exitCode == .refused)
  }

  @Test mutating func oneThatDoesNotEndIsGivenUp() {
    var life = queued()
    life.signaled(15, now: now, &recorder)
    life.timePassed(now: now + .seconds(5), &recorder)
    recorder.done = []
    life.timePassed(now: now + .seconds(65), &recorder)
    recorder.expect("gaveUp(engines: Set([]), controller: true)")
    #expect(life.exitCode == .refused)
  }

  /// A host without power cannot be asked whether what it ran has ended.
  @Test mutating func whoCannotBeReachedIsNotWaitedFor() {
    var life = queued()
    life.controllerRuns(now: now)
    life.connectionInfoArrived(now: now, &recorder)
    life.enginesRegistered(1, now: now, &recorder)
    life.signaled(15, now: now, &recorder)
    recorder.done = []
    life.enginesUnreachable([0], &recorder)
    #expect(life.exitCode == nil)
    life.controllerEnded(.exited(0), now: now, &recorder)
    recorder.expect("gaveUp(engines: Set([0]), controller: false)")
    #expect(life.exitCode == .refused)
  }

  @Test mutating func norIsAControllerThatCannotBeReached() {
    var life = queued()
    life.signaled(15, now: now, &recorder)
    recorder.done = []
    life.controllerUnreachable(&recorder)
    recorder.expect("gaveUp(engines: Set([]), controller: true)")
    #expect(life.exitCode == .refused)
  }

  @Test func onlyItsOwnFilesGoWithIt() throws {
    let directory = TemporaryDirectory()
    let profile = ProfileDirectory(directory.path)
    try profile.create()
    let (client, engine) = (profile.connectionFile("client", clusterID: "x"), profile.connectionFile("engine", clusterID: "x"))
    for path in [client, engine, engine + ".7-8.new"] { try AtomicFile.write([1], to: path) }
    // The journal of a controller here that had the same name.
    try FileSystem.makeDirectory(profile.journal(clusterID: "x"))
    var file = ClusterFile(clusterID: "x", profile: profile.location)
    (file.controllerLauncher, file.originalController) = ("ssh", ["apus": ["launcher": "ssh", "hosts": []]])
    file.formerFiles = [client: try #require(FileSystem.version(of: client)).text]
    let path = profile.clusterFile("x")
    try file.write(to: path)
    #expect(try ClusterFile(reading: path) == file)
    try ClusterStopper.stop(ClusterStatus(reading: path), Environment([:]))
    #expect(FileSystem.exists(client) && !FileSystem.exists(engine) && !FileSystem.exists(path))
    #expect(!FileSystem.exists(engine + ".7-8.new"))
    #expect(FileSystem.isDirectory(profile.journal(clusterID: "x")))
  }

  @Test func itsStateStaysInTheFile() throws {
    var file = ClusterFile(clusterID: "x", profile: "/p")
    let state: JSONObject = ["pid": 7, "n": 1, "apus": ["launcher": "mpi", "mark": "m"]]
    (file.controllerLauncher, file.originalController) = ("mpi", state)
    let again = try ClusterFile(file.json, path: "/p/security/cluster-x.json")
    #expect(again.controllerElsewhere == state && again.json == file.json)
    // It is asked about through its launcher, and is none of the processes of this host.
    let status = ClusterStatus(again, path: "p", isAlive: { _, _ in false })
    #expect(status.isControllerRunning && status.deadController == nil && status.processes.isEmpty)
  }

  /// mpiexec is a process of this host, and so its file names a number, which may be nobody's by now.
  @Test func oneUnderMPIThatHasEndedIsAskedAbout() throws {
    var file = ClusterFile(clusterID: "x", profile: "/p")
    let state: JSONObject = ["pid": .int(Int(Int32.max)), "n": 1, "apus": ["launcher": "mpi", "mark": "nobody has this"]]
    (file.controllerLauncher, file.originalController) = ("mpi", state)
    var status = ClusterStatus(try ClusterFile(file.json, path: "/p/security/cluster-x.json"), path: "p")
    #expect(status.isControllerRunning)
    status.ask(Environment([:]))
    #expect(!status.isControllerRunning && status.troubles.isEmpty)
  }

  @Test func jobsOfControllersAreControllers() throws {
    var job = EngineJob(
      profile: ProfileDirectory("/p"), clusterID: "c",
      command: ChildProcess.Command(
        program: "/bin/apus", arguments: ["/bin/apus", "controller", "--ip=*"], environment: Environment([:])))
    job.setID = "1"
    job.isController = true
    let launcher = BatchLauncher(Slurm(), BatchOptions(), Environment([:]))
    let script = try launcher.script(BatchJob(id: "", engines: 0..<1, outputFile: "/o", script: "/s"), job)
    #expect(script.contains("--job-name=ipcontroller-c") && script.contains("/bin/apus controller '--ip=*'"))
    #expect(!script.contains("--file="))
    let mpi = try MPILauncher(MPILauncher.Options()).preview(1, job)
    #expect(mpi.contains("/bin/apus controller") && !mpi.contains("--mpi") && !mpi.contains("--file="))
  }
}
