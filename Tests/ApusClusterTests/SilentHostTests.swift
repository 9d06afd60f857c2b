import ApusMessaging
import ApusProcess
import Testing

@testable import ApusCluster

/// Clusters some of whose hosts do not answer: what people wait for has one bound, however many there are.
@Suite(.timeLimit(.minutes(10))) struct SilentHostTests {
  let hosts: PlayedHosts
  init() throws { hosts = try PlayedHosts() }

  func state(_ names: String...) -> JSONObject {
    let entries = names.map { name -> JSONValue in
      // Of a process that has ended.
      let engines: JSONValue = [String(name.last ?? "0"): [.int(Int(Int32.max)), "1"]]
      return [
        "destination": .string(name), "python": "python3", "directory": "/tmp/apus-engines-none", "name": "apus-engines-none",
        "planned": [], "engines": engines,
      ]
    }
    return [
      "n": .int(names.count), "engines": [:],
      "apus": [
        "launcher": "ssh", "ssh_cmd": .array([.string(hosts.program)]), "ssh_args": [], "connect_timeout": 1.0,
        "hosts": .array(entries),
      ],
    ]
  }

  func file(_ id: String, _ sets: [String: JSONObject]) -> ClusterFile {
    var file = ClusterFile(clusterID: id, profile: "\(hosts.directory.path)/profile")
    for (id, state) in sets { file.set(id, state) }
    return file
  }

  @Test func allAreAskedAtOnceAndInOneTime() throws {
    for host in ["a1", "b1", "c1"] { try hosts.play(.hung, on: host, always: true) }
    var statuses = [
      ClusterStatus(file("x", ["1": state("a1"), "2": state("b1")]), path: "x"),
      ClusterStatus(file("y", ["1": state("c1")]), path: "y"),
      ClusterStatus(file("z", ["1": state("d1")]), path: "z"),
    ]
    let began = MonotonicClock.now
    ClusterStatus.ask(&statuses, hosts.environment, within: .seconds(3))
    #expect(MonotonicClock.now - began < .seconds(8))
    #expect(statuses.map(\.engineCount) == [2, 1, 0] && statuses.map(\.troubles.count) == [2, 1, 0])
    #expect(statuses[2].file.ended.map(\.set) == ["1"])
  }

  /// Its launcher may be at work with it, and whoever cleans up is not to forget it.
  @Test func whatIsAboutToBeStartedCountsAsRunning() throws {
    var launcher = try hosts.launcher(["a"])
    _ = launcher.plan(0..<2, hosts.job())
    var statuses = [ClusterStatus(file("x", ["1": launcher.state(hosts.job())]), path: "x")]
    ClusterStatus.ask(&statuses, hosts.environment)
    #expect(statuses[0].engineCount == 2 && statuses[0].isRunning && hosts.folders.isEmpty)
  }

  @Test func anEndDoesNotTakeLongerWithMoreOfThem() throws {
    try ProfileDirectory("\(hosts.directory.path)/profile").create()
    let file = file("x", ["1": state("a0", "b1", "c2"), "2": state("d1"), "3": state("e1")])
    let path = ProfileDirectory(file.profile).clusterFile("x")
    try file.write(to: path)
    for host in ["a0", "b1", "d1"] { try hosts.play(.hung, on: host, always: true) }
    let began = MonotonicClock.now
    var said: [String] = []
    let error = #expect(throws: ClusterError.self) {
      try ClusterStopper.stop(try ClusterStatus(reading: path), hosts.environment) { said.append($0) }
    }
    // 6 s for each that does not answer.
    #expect(MonotonicClock.now - began < .seconds(11))
    #expect(error?.exitCode == .refused && FileSystem.exists(path))
    #expect(said.contains { $0.contains("d1") || $0.contains("a0") })
  }
}
