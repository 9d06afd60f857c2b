import ApusMessaging
import ApusProcess
import Testing

@testable import ApusCluster

/// Submissions that were planned, and that another launcher finds half done.
@Suite struct BatchSubmissionTests {
  let directory = TemporaryDirectory()
  let environment: Environment
  let job: EngineJob

  init() throws {
    try directory.writeProgram(
      "sbatch", "#!/bin/sh\necho \"$*\" >> \"\(directory.path)/calls\"\necho Submitted batch job 8\n")
    try directory.writeProgram("squeue", "#!/bin/sh\necho '7|RUNNING|None|node1'\n")
    for name in ["scontrol", "sacct"] { try directory.writeProgram(name, "#!/bin/sh\nexit 1\n") }
    var environment = Environment.current()
    environment["PATH"] = "\(directory.path):\(environment["PATH"] ?? "/bin:/usr/bin")"
    self.environment = environment
    var job = EngineJob(
      profile: ProfileDirectory("\(directory.path)/profile"), clusterID: "x",
      command: .init(program: "/bin/true", arguments: ["/bin/true"], environment: environment))
    job.setID = "1"
    self.job = job
    try job.profile.create()
  }

  func launcher() -> BatchLauncher { BatchLauncher(Slurm(), BatchOptions(), environment) }

  /// As its launcher left it that was killed.
  func takenOver(_ launcher: BatchLauncher) throws -> BatchLauncher {
    try BatchLauncher(
      reconnecting: launcher.state(job), LauncherContext(environment: environment, profile: job.profile, settles: true))
  }

  var calls: Int { (try? FileSystem.text(of: "\(directory.path)/calls"))?.split(separator: "\n").count ?? 0 }

  @Test func whatWasSubmittedIsKnownToWhoeverGoesOn() throws {
    var former = launcher()
    _ = former.plan(0..<2, job)
    directory.write(String(try #require(former.jobs[0].record).dropFirst(directory.path.count + 1)), "Submitted batch job 7\n")
    var steps = LauncherSteps(try takenOver(former), outputLimit: 0)
    _ = try steps.takeOver(job)
    #expect(steps.live == [0, 1])
    #expect(steps.state?["apus"]?["jobs"]?.arrayValue?.map { $0["id"]?.stringValue } == ["7"])
    // Another engine is another job, and that one is not submitted again.
    _ = steps.perform(.start(2..<3, job))
    #expect(calls == 1 && steps.state?["apus"]?["jobs"]?.arrayValue?.count == 2)
  }

  /// A look between a plan and its start: whoever is killed then must be found by what the cluster's file says.
  @Test func whatIsPlannedAfterATakeoverIsKept() throws {
    var former = launcher()
    _ = former.plan(0..<2, job)
    directory.write(String(try #require(former.jobs[0].record).dropFirst(directory.path.count + 1)), "Submitted batch job 7\n")
    var launcher = try takenOver(former)
    _ = launcher.plan(2..<4, job)
    let planned = launcher.jobs
    #expect(planned.map(\.engines) == [0..<2, 2..<4] && launcher.unanswered.isEmpty)
    _ = try launcher.states()
    #expect(launcher.jobs == planned)
    try launcher.start(2..<4, job)
    #expect(calls == 1 && launcher.jobs.map(\.record) == planned.map(\.record))
    #expect(launcher.jobs.map(\.id) == ["7", "8"])
  }

  /// One of its engines had died, and has not been started again.
  @Test func aJobThatIsStartedAnewBringsBackWhatHadEnded() throws {
    try directory.writeProgram(
      "squeue",
      "#!/bin/sh\ncase \"$*\" in *restartcnt*) echo \"8 $(cat \(directory.path)/restarts)\";; *) cat \"\(directory.path)/jobs\";; esac\n"
    )
    directory.write("restarts", "0")
    directory.write("jobs", "8|RUNNING|None|n1\n")
    var steps = LauncherSteps(launcher(), outputLimit: 0)
    _ = steps.perform(.start(0..<2, job))
    let output = try #require((steps.launcher as? BatchLauncher)?.jobs.first?.outputFile.dropFirst(directory.path.count + 1))
    func look() -> [String] {
      steps.perform(.look).map { event in
        switch event {
        case .ended(let engine): "\(engine.index) ended"
        case .returned(let index): "\(index) is back"
        case .waiting(let index, _): "\(index) waits"
        case .running(let index, let node): "\(index) runs on \(node)"
        default: "\(event)"
        }
      }
    }
    #expect(look() == ["0 runs on n1", "1 runs on n1"])
    directory.write(String(output), "apus: the job begins \nsrun: error: n1: task 1: Killed\n")
    #expect(look() == ["1 ended"] && look() == [])
    #expect(steps.live == [0] && steps.state?["n"]?.intValue == 1)
    // What its end is known by cannot be read.
    directory.write(String(output), "apus: the job begins \n")
    #expect(look() == [] && steps.live == [0])
    directory.write("restarts", "1")
    directory.write("jobs", "8|PENDING|BeginTime|\n")
    #expect(look() == ["0 waits", "1 is back", "1 waits"])
    directory.write("jobs", "8|RUNNING|None|n2\n")
    #expect(look() == ["0 runs on n2", "1 runs on n2"])
    #expect(steps.live == [0, 1] && steps.state?["n"]?.intValue == 2)
  }

  /// Nobody watches over them who would have said so.
  @Test func whoeverAsksFindsWhatIsBackWithItsJob() throws {
    directory.write("jobs", "8|RUNNING|None|n1\n")
    try directory.writeProgram("squeue", "#!/bin/sh\ncat \"\(directory.path)/jobs\"\n")
    var launcher = launcher()
    try launcher.start(0..<2, job)
    var file = ClusterFile(clusterID: "x", profile: job.profile.location)
    file.engineLauncher = Slurm.name
    file.set("1", launcher.state(job))
    for (index, set) in [(0, "1"), (1, "1"), (0, "2")] {
      var ended = EndedEngine(index: index, end: .signaled(9), place: "job 8", lines: [])
      ended.set = set
      if index == 1 { ended.consequence = "started again after 1 s" }
      file.ended.append(ended)
    }
    var status = ClusterStatus(file, path: "")
    status.ask(environment)
    #expect(status.engineCount == 2 && status.troubles.isEmpty)
    #expect(status.file.ended.map(\.consequence) == [EndedEngine.hasReturned, "started again after 1 s", ""])
  }

  /// Jobs between those that were submitted may have been given up.
  @Test func noTwoJobsShareTheirFiles() throws {
    var launcher = launcher()
    try launcher.start(0..<1, job)
    _ = launcher.plan(1..<2, job)
    try launcher.start(2..<3, job)
    // Another plan takes the place of the one that was not submitted.
    try launcher.start(1..<3, job)
    #expect(launcher.jobs.map(\.engines) == [0..<1, 2..<3, 1..<3])
    #expect(Set(launcher.jobs.map(\.outputFile)).count == 3 && Set(launcher.jobs.map(\.script)).count == 3)
    #expect(Set(launcher.jobs.map(\.record)).count == 3)
    for job in launcher.jobs { directory.write(String(job.script.dropFirst(directory.path.count + 1)) + ".12-345.new", "") }
    launcher.removeFiles(logsOf: [])
    #expect(!FileSystem.entries(of: job.profile.log).contains { $0.contains(".sbatch") })
  }

  @Test func whatWasNotSubmittedIsNotSubmittedByTheWay() throws {
    var former = launcher()
    _ = former.plan(0..<4, job)
    var launcher = try takenOver(former)
    #expect(launcher.jobs.isEmpty)
    try launcher.start(2..<3, job)
    #expect(launcher.jobs.map(\.engines) == [2..<3] && calls == 1)
  }

  @Test func aPlanThatWasGivenUpIsNotSubmittedByTheWay() throws {
    var launcher = launcher()
    _ = launcher.plan(0..<4, job)
    try launcher.start(1..<2, job)
    #expect(launcher.jobs.map(\.engines) == [1..<2] && calls == 1)
  }

  /// The submit command goes on without its launcher, and holds the lock on its record.
  @Test func whatIsBeingSubmittedIsNotForgotten() throws {
    var former = launcher()
    _ = former.plan(0..<2, job)
    let record = try #require(former.jobs[0].record)
    let lock = try ToolCommand(
      ["sh", "-c", "flock -x \(record) sleep 1000 > /dev/null 2>&1 & echo $!; while flock -n \(record) true; do :; done"],
      environment: environment
    ).run()
    let pid = try #require(Int32(lock.output.split(separator: "\n").first ?? ""))
    defer { _ = try? ToolCommand(["pkill", "-P", "\(pid)"], environment: environment).run() }
    var context = LauncherContext(environment: environment, profile: job.profile, settles: true)
    context.deadline = MonotonicClock.now + .seconds(1)
    var launcher = try BatchLauncher(reconnecting: former.state(job), context)
    #expect(launcher.unanswered == [0, 1])
    // It says its job's id at last.
    directory.write(String(record.dropFirst(directory.path.count + 1)), "Submitted batch job 7\n")
    #expect(try launcher.states() == [0: .running("node1"), 1: .running("node1")])
    #expect(launcher.unanswered.isEmpty)
  }
}
