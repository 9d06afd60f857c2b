import ApusMessaging
import ApusProcess
import Glibc
import Testing

@testable import ApusCluster

/// Hosts that do not answer, answer late, or whose answers are lost.
@Suite(.timeLimit(.minutes(10))) struct SSHLauncherTests {
  let hosts: PlayedHosts
  init() throws { hosts = try PlayedHosts() }

  func isRunning(_ launcher: SSHLauncher, _ engine: Int) -> Bool {
    launcher.sites.compactMap { $0.processes[engine]?.pid }.contains { ProcessTable.isRunning(Int32($0)) }
  }

  func waitForEnd(_ launcher: inout SSHLauncher, of engines: Set<Int>) throws {
    let deadline = MonotonicClock.now + .seconds(30)
    while try launcher.states().filter({ !$0.value.isEnded }).keys.contains(where: engines.contains) {
      try #require(MonotonicClock.now < deadline)
    }
  }

  @Test func aHostIsJudgedByTheTimeThatItTookItself() throws {
    var launcher = try hosts.launcher(["a", "b"])
    try launcher.start(0..<4, hosts.job())
    try hosts.play(.silent, on: "a", always: true)
    try hosts.play(.refused, on: "b")
    try? launcher.stop([0, 1, 2, 3], isForced: false)
    #expect(launcher.unreachable?.engines == [0, 1])
    // It was refused once, and does what it is asked.
    try? launcher.stop([2, 3], isForced: true)
    #expect(!isRunning(launcher, 2) && !isRunning(launcher, 3))
    launcher.leave()
    for engine in [0, 1] { for site in launcher.sites { if let pid = site.processes[engine]?.pid { kill(Int32(pid), SIGKILL) } } }
  }

  @Test func whatAStartHasBegunIsFoundAlsoWhereTheFirstSearchFails() throws {
    var launcher = try hosts.launcher(["a"])
    try launcher.start(0..<1, hosts.job())
    try hosts.play(.mute, on: "a")
    #expect(throws: ClusterError.self) { try launcher.start(1..<2, hosts.job()) }
    #expect(launcher.unanswered == [1])
    // The host has not answered once more, and then ends well what is known.
    try hosts.play(.refused, on: "a")
    try launcher.stop([0, 1], isForced: false)
    try waitForEnd(&launcher, of: [0, 1])
    #expect(launcher.sites[0].processes[1] != nil && !isRunning(launcher, 1))
    launcher.removeFiles(logsOf: [])
    #expect(hosts.folders.isEmpty)
  }

  @Test func whatAStartHasBegunIsFoundAlsoWhereNothingIsToEnd() throws {
    var launcher = try hosts.launcher(["a"])
    try hosts.play(.mute, on: "a")
    #expect(throws: ClusterError.self) { try launcher.start(0..<1, hosts.job()) }
    let deadline = MonotonicClock.now + .seconds(30)
    while try launcher.states()[0] != .running("a") { try #require(MonotonicClock.now < deadline) }
    #expect(launcher.unanswered.isEmpty && isRunning(launcher, 0))
    try launcher.stop([0], isForced: true)
    launcher.removeFiles(logsOf: [])
    #expect(hosts.folders.isEmpty)
  }

  /// What the host has noted of its first process is no answer to its second start.
  @Test func aRestartThatNeverCameHasNotBegun() throws {
    var launcher = try hosts.launcher(["a"], command: ["/bin/sh", "-c", "exit 3"])
    try launcher.start(0..<1, hosts.job())
    try waitForEnd(&launcher, of: [0])
    _ = launcher.plan(0..<1, hosts.job())
    // Its launcher is killed, and another one takes over.
    let state = launcher.state(hosts.job())
    var other = try SSHLauncher(
      reconnecting: state, LauncherContext(environment: hosts.environment, profile: hosts.job().profile, settles: true))
    defer {
      launcher.leave()
      other.leave()
    }
    #expect(other.unanswered == [0])
    guard case .ended(.refused)? = try other.states()[0] else {
      Issue.record("it has not begun")
      return
    }
  }

  /// The file names the process that it had, and what that ended with is gone with the start.
  @Test func whoOnlyAsksTakesARestartForNoEnd() throws {
    var launcher = try hosts.launcher(["a"])
    try launcher.start(0..<1, hosts.job())
    let first = try #require(launcher.sites[0].processes[0])
    kill(pid_t(first.pid), SIGKILL)
    try waitForEnd(&launcher, of: [0])
    _ = launcher.plan(0..<1, hosts.job())
    let state = launcher.state(hosts.job())
    try launcher.start(0..<1, hosts.job())
    let context = LauncherContext(environment: hosts.environment, profile: hosts.job().profile)
    var steps = LauncherSteps(try SSHLauncher(reconnecting: state, context), outputLimit: 0)
    #expect(try steps.takeOver().isEmpty)
    #expect(steps.live.union(steps.launcher.unanswered) == [0])
    steps.leave()
    try launcher.stop([0], isForced: true)
    launcher.leave()
  }

  @Test func whoTakesOverFindsWhatNobodyHadHeardOf() throws {
    var launcher = try hosts.launcher(["a", "b"])
    _ = launcher.plan(0..<4, hosts.job())
    let planned = launcher.state(hosts.job())
    try hosts.play(.mute, on: "a")
    #expect(throws: ClusterError.self) { try launcher.start(0..<4, hosts.job()) }
    // As its file says it: the launcher did not live to see any answer.
    let context = LauncherContext(environment: hosts.environment, profile: hosts.job().profile, settles: true)
    var steps = LauncherSteps(try SSHLauncher(reconnecting: planned, context), outputLimit: 0)
    _ = try steps.takeOver(hosts.job())
    #expect(steps.live == [0, 1, 2, 3])
    _ = steps.perform(.stop(isForced: true))
    #expect(steps.live.isEmpty)
    let sockets = try #require(planned["apus"]?["sockets"]?.stringValue)
    #expect(FileSystem.exists(sockets))
    _ = steps.perform(.removeFiles)
    #expect(hosts.folders.isEmpty && !FileSystem.exists(sockets))
    launcher.leave()
  }

  @Test func whoCannotLearnItDoesNotGoOnWithoutThem() throws {
    var launcher = try hosts.launcher(["a"])
    _ = launcher.plan(0..<1, hosts.job())
    try hosts.play(.refused, on: "a")
    let context = LauncherContext(environment: hosts.environment, profile: hosts.job().profile, settles: true)
    var steps = LauncherSteps(try SSHLauncher(reconnecting: launcher.state(hosts.job()), context), outputLimit: 0)
    #expect(throws: ClusterError.self) { try steps.takeOver(hosts.job()) }
    steps.leave()
    launcher.leave()
  }

  // MARK: what is left on a host

  @Test func aStartThatNoHostWasToldOfLeavesNothingThere() throws {
    var launcher = try hosts.launcher(["a"])
    _ = launcher.plan(0..<2, hosts.job())
    try launcher.stop([0, 1], isForced: false)
    launcher.removeFiles(logsOf: [])
    #expect(hosts.folders.isEmpty && hosts.calls == 0)
  }

  @Test func whatForbidsAStartThatNeverCameGoesInTime() throws {
    for (name, age) in [("apus-engines-old", 1000), ("apus-engines-new", 10), ("apus-engines-used", 1000)] {
      let folder = "\(hosts.directory.path)/tmp/\(name)"
      mkdir(folder, 0o700)
      try AtomicFile.write([], to: "\(folder)/closed")
      if name.hasSuffix("used") { try AtomicFile.write([], to: "\(folder)/0.pid") }
      var times = [timeval(tv_sec: time(nil) - age, tv_usec: 0), timeval(tv_sec: time(nil) - age, tv_usec: 0)]
      utimes("\(folder)/closed", &times)
    }
    var launcher = try hosts.launcher(["a"])
    try launcher.start(0..<1, hosts.job())
    #expect(hosts.folders.filter { $0.count < 20 } == ["apus-engines-new", "apus-engines-used"])
    try launcher.stop([0], isForced: true)
    launcher.leave()
  }

  // MARK: time

  /// A question that no host answers does not keep the end waiting.
  @Test func whoIsToEndIsNotKeptByAQuestion() throws {
    var launcher = try hosts.launcher(["a"], connectTimeout: .seconds(30))
    try launcher.start(0..<1, hosts.job())
    let before = hosts.calls
    try hosts.play(.hung, on: "a")
    var steps = LauncherSteps(launcher, outputLimit: 0)
    steps.assumeRunning([0])
    let thread = try LauncherThread(steps)
    thread.send(.look)
    let deadline = MonotonicClock.now + .seconds(20)
    while hosts.calls == before { try #require(MonotonicClock.now < deadline) }
    thread.send(.stop(isForced: true))
    var events: [LauncherSteps.Event] = []
    while !events.contains(where: { if case .ended = $0 { true } else { false } }) {
      try #require(MonotonicClock.now < deadline)
      var descriptor = pollfd(fd: thread.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&descriptor, 1, 1000)
      events += thread.read()
    }
    thread.send(.removeFiles)
    thread.finish()
    launcher.leave()
  }

  @Test func severalStepsOfAnEndHaveOneTime() throws {
    var launcher = try hosts.launcher(["a", "b"], connectTimeout: .seconds(4))
    try launcher.start(0..<2, hosts.job())
    try hosts.play(.mute, on: "b")
    #expect(throws: ClusterError.self) { try launcher.start(2..<4, hosts.job()) }
    for host in ["a", "b"] { try hosts.play(.hung, on: host, always: true) }
    let began = MonotonicClock.now
    try? launcher.stop([0, 1, 2, 3], isForced: false)
    // 9 s for the search on one, and then 5 s for the other, which has used up the rest; for itself it would have 9 s, too.
    #expect(MonotonicClock.now - began < .seconds(17))
    #expect(launcher.unreachable?.engines == [0, 1, 2, 3])
    launcher.leave()
    for name in FileSystem.entries(of: "/proc") {
      guard let pid = Int32(name), let text = try? FileSystem.text(of: "/proc/\(pid)/environ") else { continue }
      if text.contains("\(hosts.job().markValue)") { kill(pid, SIGKILL) }
    }
  }

  // MARK: controllers

  static let controller = """
    mkdir -p "$IPP_PROFILE_DIR/security"
    while ! [ -e "$GO" ]; do sleep 0.01; done
    for kind in client engine; do
      echo '{}' > "$IPP_PROFILE_DIR/new"
      mv "$IPP_PROFILE_DIR/new" "$IPP_PROFILE_DIR/security/ipcontroller-x-$kind.json"
    done
    exec sleep 1000
    """

  @Test func filesOfAControllerThatCameMeanwhileStay() throws {
    var job = hosts.job(isController: true)
    try job.profile.create()
    let go = "\(hosts.directory.path)/go"
    job.variables["GO"] = go
    var launcher = try hosts.launcher(["a"], command: ["/bin/sh", "-c", Self.controller])
    _ = launcher.plan(0..<1, job)
    try launcher.start(0..<1, job)
    #expect(launcher.awaitsFiles)
    let path = job.profile.connectionFile("engine", clusterID: "x")
    try AtomicFile.write(Array("another's".utf8), to: path)
    try AtomicFile.write([], to: go)
    let error = #expect(throws: ClusterError.self) {
      let deadline = MonotonicClock.now + .seconds(20)
      while MonotonicClock.now < deadline { _ = try launcher.states() }
    }
    #expect(error?.exitCode == .alreadyRunning)
    #expect(try FileSystem.text(of: path) == "another's")
    #expect(!FileSystem.exists(job.profile.connectionFile("client", clusterID: "x")))
    try launcher.stop([0], isForced: true)
    launcher.removeFiles(logsOf: [])
  }
}
