import ApusMessaging
import ApusProcess
import Testing

@testable import ApusCluster

@Suite struct LocalAdoptionTests {
  /// Its launcher was killed after it had started an engine, and before it could say so in the cluster's file.
  @Test func whatTheFileDoesNotNameYetIsFoundByItsMark() throws {
    let directory = TemporaryDirectory()
    let words = ["/bin/sleep", "1000"]
    var job = EngineJob(
      profile: ProfileDirectory(directory.path), clusterID: "x",
      command: .init(program: words[0], arguments: words, environment: .current()))
    (job.setID, job.variables) = ("1", ["IPP_CLUSTER_ID": "x"])
    try job.profile.create()
    var launcher = LocalLauncher()
    try launcher.start(0..<1, job)
    let state = launcher.state(job)
    try launcher.start(1..<2, job)
    defer { try? launcher.stop([0, 1], isForced: true) }
    // The system shows the environment of a program a moment after it has begun.
    let deadline = MonotonicClock.now + .seconds(20)
    while ProcessTable.engines(ofSet: job.markValue).count < 2 { try #require(MonotonicClock.now < deadline) }
    var context = LauncherContext(environment: .current(), profile: job.profile)
    context.setID = job.setID
    #expect(try LocalLauncher(reconnecting: state, context).known == [0])
    context.settles = true
    var adopted = try LocalLauncher(reconnecting: state, context)
    #expect(adopted.known == [0, 1] && adopted.place(of: 1) == launcher.place(of: 1))
    #expect(try adopted.states() == [0: .running(""), 1: .running("")])
    context.setID = "2"
    #expect(try LocalLauncher(reconnecting: state, context).known == [0])
  }
}
