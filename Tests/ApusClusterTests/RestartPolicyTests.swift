import ApusCluster
import Testing

@Suite struct RestartPolicyTests {
  let now = Duration.seconds(1000)

  @Test(arguments: [
    (RestartPolicy.Mode.never, EngineEnd.signaled(9), false), (.never, .timeLimit, false), (.onFailure, .signaled(9), true),
    (.onFailure, .exited(3), true), (.onFailure, .exited(0), false), (.onFailure, .timeLimit, true),
    (.onFailure, .outOfMemory, true),
    (.onFailure, .nodeLost("n1"), true), (.onFailure, .vanished(""), true), (.onFailure, .cancelled(by: "somebody"), false),
    (.onFailure, .cancelled(by: ""), false), (.onFailure, .cancelled(by: "mpiexec, because rank 1 ended"), true),
    (.onFailure, .cancelled(by: "a job of higher priority (preempted)"), true), (.onFailure, .refused("no"), false),
    (.always, .exited(0), true), (.always, .cancelled(by: "somebody"), true), (.always, .refused("no"), false),
  ])
  func whatComesBack(mode: RestartPolicy.Mode, end: EngineEnd, comesBack: Bool) {
    var policy = RestartPolicy(mode)
    policy.started(0, now: now)
    #expect(policy.ended(0, end, now: now) == (comesBack ? .restarts(at: now + .milliseconds(100)) : .stays))
  }

  @Test func eachRestartComesLaterAndTheLastIsTheLast() {
    var policy = RestartPolicy(.onFailure, limit: 4)
    var delays: [Duration] = []
    policy.started(7, now: now)
    while case .restarts(let at) = policy.ended(7, .exited(1), now: now) {
      delays.append(at - now)
      policy.started(7, now: now)
    }
    #expect(delays == [100, 200, 400, 800].map { .milliseconds($0) })
    #expect(policy.ended(7, .exited(1), now: now) == .givesUp(after: 4))
    // Another engine has its own patience.
    #expect(policy.ended(8, .exited(1), now: now) == .restarts(at: now + .milliseconds(100)))
  }

  @Test func whoHasRunForAWhileBeginsAnew() {
    var policy = RestartPolicy(.onFailure, limit: 2)
    for start in stride(from: 0, to: 1000, by: 100) {
      let begin = now + .seconds(start)
      policy.started(0, now: begin)
      #expect(policy.ended(0, .signaled(9), now: begin + .seconds(60)) == .restarts(at: begin + .milliseconds(60_100)))
    }
  }

  @Test func noDelayIsLongerThanTheLongest() {
    var policy = RestartPolicy(.onFailure, limit: 100)
    policy.started(0, now: now)
    for _ in 0..<99 { _ = policy.ended(0, .exited(1), now: now) }
    #expect(policy.ended(0, .exited(1), now: now) == .restarts(at: now + .seconds(60)))
  }
}
