import Testing

@testable import ApusCluster

/// What the commands of batch systems say, as they were seen to say it.
@Suite struct BatchAnswerTests {
  private func job(_ id: String, _ engines: Range<Int> = 0..<3) -> BatchJob {
    BatchJob(id: id, engines: engines, outputFile: "/nonexistent/output", script: "")
  }

  @Test(arguments: [
    ("Submitted batch job 12\n", "12"), ("12\n", "12"), ("12;cluster\n", "12"),
    ("sbatch: warning: 3 nodes are down\nSubmitted batch job 44 on cluster two\n", "44"), ("no job\n", nil),
  ])
  func slurmSaysAJobsID(_ output: String, _ id: String?) { #expect(Slurm().jobID(in: output) == id) }

  @Test func otherSystemsSayTheirs() {
    #expect(PBS().jobID(in: "qsub: warning: x\n1234[].server\n") == "1234[].server")
    #expect(PBS().jobID(in: "") == nil)
    #expect(GridEngine().jobID(in: "Your job-array 3.1-2:1 (\"ipengine\") has been submitted\n") == "3")
    #expect(GridEngine().jobID(in: "Your job 6 (\"x\") has been submitted\n") == "6")
    #expect(GridEngine().jobID(in: "3.1-3:1\n") == "3")
    #expect(LSF().jobID(in: "Warning: 99 jobs\nJob <123> is submitted to default queue <normal>.\n") == "123")
    #expect(HTCondor().jobID(in: "Submitting job(s)..\n2 job(s) submitted to cluster 12.\n") == "12")
    #expect(HTCondor().jobID(in: "12.0 - 12.1\n") == "12")
  }

  @Test(arguments: [
    ("PENDING", "Resources", EngineState.waiting("Resources")), ("RUNNING", "None", .running("n1")),
    ("COMPLETING", "None", .running("n1")),
    ("COMPLETED", "None", .ended(.exited(0))), ("TIMEOUT", "TimeLimit", .ended(.timeLimit)),
    ("OUT_OF_MEMORY", "OutOfMemory", .ended(.outOfMemory)), ("NODE_FAIL", "None", .ended(.nodeLost("n1"))),
    ("CANCELLED", "None", .ended(.cancelled(by: ""))), ("FAILED", "NonZeroExitCode", .ended(.exited(1))),
  ])
  func statesOfSlurm(_ name: String, _ reason: String, _ state: EngineState) {
    let states = Slurm.states(of: [job("7")], squeue: "6|RUNNING|None|n2\n7|\(name)|\(reason)|n1\n") { _ in [:] }
    #expect(states == [0: state, 1: state, 2: state])
  }

  @Test func srunTellsOfTasks() {
    let lines = [
      "hello", "srun: error: n1: task 1: Exited with exit code 3", "srun: error: n2: tasks 4-5,7: Killed",
      "srun: error: n1: task 2: Out Of Memory", "srun: error: n1: task 9: Exited with exit code 143",
      "srun: Force Terminated StepId=1.0",
    ]
    #expect(
      Slurm.tasksEnded(in: lines) == [
        1: .exited(3), 4: .signaled(9), 5: .signaled(9), 7: .signaled(9), 2: .outOfMemory, 9: .signaled(15),
      ])
  }

  @Test func statesOfPBS() {
    let text = """
      Job Id: 12[].server
          job_state = B
      Job Id: 12[1].server
          job_state = R
          exec_host = node7/0*2
      Job Id: 12[2].server
          job_state = F
          Exit_status = 265
      Job Id: 12[3].server
          job_state = F
          Exit_status = -29
      """
    #expect(
      PBS.states(of: [job("12[].server")], qstat: text) == [
        0: .running("node7"), 1: .ended(.signaled(9)), 2: .ended(.timeLimit),
      ])
    #expect(PBS().names(job("12[].server"), engines: [1]) == ["12[2].server"])
    #expect(PBS().names(job("12[].server"), engines: nil) == ["12[].server"])
  }

  @Test func statesOfGridEngine() {
    let text = """
      job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
      -----------------------------------------------------------------------------------------------------------------
            1 0.50000 ipengine   root         r     11/28/2026 22:33:10 all.q@node3                        1 1
            1 0.00000 ipengine   root         qw    11/28/2026 22:33:10                                    1 2-3:1
            2 0.00000 other      root         Eqw   11/28/2026 22:33:10                                    1 1
      """
    #expect(GridEngine.states(of: [job("1")], qstat: text) == [0: .running("node3"), 1: .waiting(""), 2: .waiting("")])
    #expect(GridEngine.end(qacct: "failed       37  : qmaster enforced h_rt\nexit_status  137   (Killed)\n") == .timeLimit)
    #expect(GridEngine.end(qacct: "failed       100 : assumedly after job\nexit_status  137   (Killed)\n") == .signaled(9))
    #expect(GridEngine.end(qacct: "error: job id 1 not found\n") == nil)
  }

  @Test func statesOfLSF() {
    let text =
      "5|1|RUN|-|h1|-|-\n5|2|EXIT|143|h1|TERM_RUNLIMIT: job killed after reaching LSF run time limit|-\n5|3|PEND|-|-|-|New job;\n"
    #expect(
      LSF.states(of: [job("5")], bjobs: text) == [0: .running("h1"), 1: .ended(.timeLimit), 2: .waiting("New job;")])
  }

  @Test func statesOfHTCondor() {
    let text =
      "8, 0, 2, slot1@h1, undefined, undefined\n8, 1, 5, undefined, 34, memory usage, exceeded\n8, 2, 1, undefined, undefined, undefined\n"
    #expect(HTCondor.states(of: [job("8")], queue: text) == [0: .running("h1"), 1: .ended(.outOfMemory), 2: .waiting("")])
    #expect(HTCondor.end(history: "3,undefined,undefined,undefined,via condor_rm (by user user)\n") == .cancelled(by: "user"))
    #expect(HTCondor.end(history: "4,3,false,undefined,undefined\n") == .exited(3))
    #expect(HTCondor.end(history: "4,undefined,true,11,undefined\n") == .signaled(11))
    #expect(HTCondor.end(history: "") == nil)
  }

  @Test func MPIsaysWhichRankEndedFirst() {
    let open = ["mpiexec noticed that process rank 1 with PID 0 on node n exited on signal 9 (Killed)."]
    #expect(MPIReport.ranks(in: open) == [1: .signaled(9)])
    let exit = ["  Process name: [[4173,1],2]", "  Exit code:    3"]
    #expect(MPIReport.ranks(in: exit) == [2: .exited(3)])
    #expect(MPIReport.signal(in: ["YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)"]) == 9)
  }

  @Test func aJobThatIsRequeuedBeginsAnew() {
    let before = [
      "apus: the job begins", "srun: error: n1: task 1: Killed",
      "slurmstepd: error: *** JOB 12 ON n1 CANCELLED DUE TO JOB REQUEUE ***",
    ]
    #expect(Slurm.tasksEnded(in: before) == [1: .signaled(9)])
    #expect(Slurm.tasksEnded(in: before + ["apus: the job begins"]) == [:])
    #expect(
      Slurm.tasksEnded(in: before + ["apus: the job begins", "srun: error: n2: tasks 0,2: Exited with exit code 3"]) == [
        0: .exited(3), 2: .exited(3),
      ])
  }

  /// What srun says of tasks that end with a run which is to come back: the job is completing then, and the file says so until the next run begins.
  @Test(arguments: ["COMPLETING", "RUNNING"])
  func tasksOfARunThatComesBackHaveNotEnded(_ name: String) {
    let directory = TemporaryDirectory()
    var job = job("12")
    job.outputFile = directory.path + "/output"
    let words = ["apus: the job begins ", "srun: error: n1: task 1: Killed"]
    func states(_ lines: [String], restarts: [String: Int]) -> [Int: EngineState] {
      directory.write("output", lines.joined(separator: "\n"))
      return Slurm.states(of: [job], squeue: "12|\(name)|None|n1\n") { ids in
        #expect(ids == ["12"])
        return restarts
      }
    }
    let (running, killed) = (EngineState.running("n1"), EngineState.ended(.signaled(9)))
    #expect(states(words, restarts: ["12": 1]) == [0: running, 1: running, 2: running])
    #expect(states(words, restarts: ["12": 0]) == [0: running, 1: killed, 2: running])
    #expect(states(words, restarts: [:]) == [0: running, 1: killed, 2: running])
    let again = words + ["apus: the job begins 1", "srun: error: n1: task 0: Killed"]
    #expect(states(again, restarts: ["12": 1]) == [0: killed, 1: running, 2: running])
    #expect(states(again, restarts: ["12": 2]) == [0: running, 1: running, 2: running])
    // Of a script of the user's own nobody knows which run it is.
    #expect(states(Array(words.dropFirst()), restarts: [:]) == [0: running, 1: killed, 2: running])
  }

  @Test func squeueTellsOfRestarts() {
    #expect(Slurm.restarts(squeue: "2                   0         \n1                   3         \nno\n") == ["2": 0, "1": 3])
    #expect(Slurm.latestRun(in: ["apus: the job begins", "x"]) == 0)
    #expect(Slurm.latestRun(in: ["apus: the job begins ", "apus: the job begins 2", "apus: the job begins x"]) == 2)
    #expect(Slurm.latestRun(in: ["apus: a job begins"]) == nil)
  }
}
