import ApusMessaging
import Testing

@testable import ApusCluster

/// What users write for launchers: templates, hosts, times.
@Suite struct LauncherInputTests {
  private let variables = ["n": "10", "queue": "long", "program_and_args": "python -m apus.engine", "empty": ""]

  @Test(arguments: [
    ("#SBATCH -p {queue}\n", "#SBATCH -p long\n"), ("{n // 4}", "2"), ("{(n + 3) // 4}", "3"), ("{-(-n // 4)}", "3"),
    ("{n * 2 - 1}", "19"),
    ("{n % 3}", "1"), ("{n:03d}", "010"), ("{n:5}", "   10"), ("${{HOME}}/x", "${HOME}/x"), ("{empty}", ""), ("{ n }", "10"),
  ])
  func templatesAreFilledIn(_ template: String, _ text: String) throws {
    #expect(try BatchTemplate(template).filled(variables) == text)
  }

  @Test(arguments: ["{nothing}", "{n", "n}", "{n // 0}", "{__import__('os')}", "{n:x}", "{}", "{n ** 999999999}"])
  func whatCannotBeFilledInIsAnError(_ template: String) throws {
    let error = try #require(throws: ClusterError.self) { try BatchTemplate(template).filled(variables) }
    #expect(error.exitCode == .failure)
    #expect(error.advice?.contains("program_and_args") == true)
  }

  @Test(arguments: [
    ("30", 1800), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1:30:00", 5400), ("10:30", 630), ("1-12:00:00", 129_600), ("0", nil),
    ("", nil),
    ("x", nil), ("1:2:3:4", nil), ("-5", nil), ("99999999999", nil),
  ])
  func timesAreRead(_ text: String, _ seconds: Int?) { #expect(TimeLimit(text)?.seconds == seconds) }

  @Test func timesAreWrittenAsEachSystemWantsThem() throws {
    let limit = try #require(TimeLimit("90m"))
    #expect(limit.text(for: Slurm.self) == "01:30:00")
    #expect(limit.text(for: LSF.self) == "1:30")
    #expect(limit.text(for: HTCondor.self) == "5400")
  }

  @Test func hostsAreReadFromAFile() throws {
    let file = try HostsFile("# ours\nhost1\n host2 4 # big\nuser@host3:2222 slots=2\n\n", path: "hosts")
    #expect(file.hosts.map(\.destination) == ["host1", "host2", "user@host3"])
    #expect(file.hosts.map(\.count) == [nil, 4, 2])
    #expect(file.hosts[2].port == 2222)
    #expect(file.hosts[2].name == "host3")
  }

  @Test func aHostMayHaveAScript() throws {
    let file = try HostsFile("host1 4 script=/opt/env.sh\nhost2 script=~/env.sh\nhost3 2\n", path: "hosts")
    #expect(file.hosts.map(\.environmentScript) == ["/opt/env.sh", "~/env.sh", nil])
    #expect(file.hosts.map(\.count) == [4, nil, 2])
  }

  @Test func aScriptGoesBeforeTheCommand() {
    #expect(EngineJob.words(["python", "-m", "x"], sourcing: nil) == ["python", "-m", "x"])
    #expect(
      EngineJob.words(["python", "-m", "x"], sourcing: "/opt/a b.sh")
        == ["/bin/sh", "-c", #". "$0" && exec "$@""#, "/opt/a b.sh", "python", "-m", "x"])
  }

  @Test(arguments: ["host1 x", "host1 2 3", "-oProxyCommand=x", "", "# nothing", "host:99999", "host1 -1"])
  func whatIsNoHostIsAnError(_ text: String) {
    #expect(throws: ClusterError.self) { try HostsFile(text, path: "hosts") }
  }

  @Test func enginesAreSharedAmongHosts() throws {
    func hosts(_ text: String) throws -> [SSHHost] { try HostsFile(text, path: "hosts").hosts }
    #expect(SSHHost.share(nil, among: try hosts("a 2\nb\nc 3")) == [2, 1, 3])
    #expect(SSHHost.share(4, among: try hosts("a 2\nb 3")) == [2, 2])
    #expect(SSHHost.share(9, among: try hosts("a 2\nb 3")) == [2, 3])
    #expect(SSHHost.share(7, among: try hosts("a\nb\nc")) == [3, 2, 2])
    #expect(SSHHost.share(6, among: try hosts("a 1\nb\nc")) == [1, 3, 2])
  }

  @Test func aTableOfHostsMayHaveNumbersDictionariesAndPairs() throws {
    #expect(try SSHHost.read("host1", 2).count == 2)
    let pair = try SSHHost.read("host2", [4, ["--debug"]])
    #expect(pair.count == 4 && pair.engineArguments == ["--debug"])
    let host = try SSHHost.read("user@host3:2222", ["n": 3, "remote_python": "/opt/python", "environment": ["A": "1"]])
    #expect(host.count == 3 && host.python == "/opt/python" && host.port == 2222 && host.environment == ["A": "1"])
    #expect(throws: ClusterError.self) { try SSHHost.read("host", "two") }
    #expect(throws: ClusterError.self) { try SSHHost.read("host", ["m": 3]) }
  }

  @Test(arguments: [
    EngineEnd.exited(3), .signaled(9), .timeLimit, .outOfMemory, .nodeLost("n1"), .cancelled(by: "user"), .refused("no"),
    .vanished(""),
  ])
  func endsAreKept(_ end: EngineEnd) { #expect(EngineEnd(end.json) == end) }

  @Test func aSystemIsAskedLessOftenWhileNothingHappens() {
    var schedule = PollSchedule()
    let first = schedule.pause
    for _ in 0..<50 { schedule.answered(changed: false) }
    #expect(schedule.pause == .seconds(5))
    schedule.answered(changed: true)
    #expect(schedule.pause == first)
    for _ in 0..<50 { schedule.failed() }
    #expect(schedule.pause == .seconds(60) && schedule.failures == 50)
    schedule.answered(changed: false)
    #expect(schedule.pause == first && schedule.failures == 0)
  }

  /// Somebody waits for the files of a controller that runs elsewhere, however long it takes to make them.
  @Test func filesThatAreAwaitedAreAskedForOnAndOn() {
    var schedule = PollSchedule(.arriving)
    for _ in 0..<50 { schedule.answered(changed: false) }
    #expect(schedule.pause == .seconds(1))
    for _ in 0..<50 { schedule.failed() }
    #expect(schedule.pause == .seconds(5))
  }

  @Test func wordsAreQuotedForAShell() {
    #expect(ShellText.line(["a", "b c", "it's", ""]) == #"a 'b c' 'it'\''s' ''"#)
  }

  @Test func theAlphabetOfBase64() {
    #expect(Base64.text(Array("any carnal pleas".utf8)) == "YW55IGNhcm5hbCBwbGVhcw==")
    #expect(Base64.text([0xFB, 0xFF, 0xFE]) == "+//+")
    #expect(Base64.text([]) == "")
  }
}
