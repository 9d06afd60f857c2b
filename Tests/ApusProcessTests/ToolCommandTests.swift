import ApusProcess
import Glibc
import Testing

@Suite struct ToolCommandTests {
  let environment = Environment.current()

  func shell(_ script: String, input: String = "", limit: Duration = .seconds(30)) -> ToolCommand {
    ToolCommand(["sh", "-c", script], environment: environment, input: input, limit: limit)
  }

  @Test func inputOutputErrorsAndTheEnd() throws {
    let result = try shell("cat; echo wrong >&2; exit 3", input: "said\n").run()
    #expect(result == .init(status: .exited(3), output: "said\n", errors: "wrong\n"))
    #expect(!result.isSuccess)
  }

  /// Whoever finds the file waits for the command by its lock.
  @Test func whatItSaysIsKeptInAFileThatIsLockedMeanwhile() throws {
    let folder = "\(environment["TMPDIR"] ?? "/tmp")/apus-record-\(getpid())"
    mkdir(folder, 0o700)
    defer {
      for name in ["said", "said.errors"] { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }
    var tool = shell("flock -n \(folder)/said -c 'echo free' || echo locked; echo wrong >&2")
    tool.record = "\(folder)/said"
    #expect(try tool.run() == .init(status: .exited(0), output: "locked\n", errors: "wrong\n"))
    let after = try shell("flock -n \(folder)/said -c 'cat \(folder)/said'").run()
    #expect(after.output == "locked\n")
  }

  @Test func severalRunAtTheSameTime() throws {
    // Each waits for what the other does.
    let folder = "${TMPDIR:-/tmp}/apus-tools-$PPID"
    let results = try ToolCommand.run([
      shell("mkdir -p \(folder); while ! [ -e \(folder)/b ]; do sleep 0.01; done; rm -r \(folder); echo a"),
      shell("while ! [ -d \(folder) ]; do sleep 0.01; done; touch \(folder)/b; echo b"),
    ])
    #expect(results.map(\.output) == ["a\n", "b\n"])
  }

  @Test func eachTellsHowLongItTook() throws {
    let results = try ToolCommand.run([shell("exit 3"), shell("sleep 100", limit: .seconds(2))])
    #expect(results[0].elapsed < results[1].elapsed && results[1].elapsed >= .seconds(2))
  }

  @Test(.timeLimit(.minutes(10))) func whatIsNotWantedAnyMoreIsCutShort() throws {
    let interruption = try Interruption()
    interruption.raise()
    let results = try ToolCommand.run([shell("echo begun; exec sleep 100", limit: .seconds(100))], until: interruption)
    #expect(results[0].status == nil && results[0].elapsed < .seconds(50))
    // What is done within its grace is done.
    #expect(try ToolCommand.run([shell("echo done")], until: interruption, grace: .seconds(30))[0].output == "done\n")
    interruption.clear()
    #expect(try ToolCommand.run([shell("echo done")], until: interruption)[0].output == "done\n")
  }

  @Test func muchInputThatNobodyReads() throws {
    let result = try shell("exec <&-; echo done", input: String(repeating: "x", count: 1 << 20)).run()
    #expect(result.output == "done\n")
  }

  @Test func muchInputAndOutput() throws {
    let text = String(repeating: "a line of text\n", count: 50_000)
    #expect(try shell("cat", input: text).run().output == text)
  }

  @Test func whatItLeavesRunningInTheBackgroundIsNotWaitedFor() throws {
    // It holds the output open, as ssh's kept connection does.
    let result = try shell("sleep 20 & echo $!").run()
    #expect(result.status == .exited(0))
    let pid = try #require(Int32(result.output.split(separator: "\n").first ?? ""))
    _ = try ToolCommand(["kill", "\(pid)"], environment: environment).run()
  }

  @Test func whatTakesTooLongIsKilled() throws {
    let result = try shell("echo before; sleep 20", limit: .milliseconds(300)).run()
    #expect(result.status == nil)
    #expect(result.output == "before\n")
  }

  @Test func aMissingProgramIsNamed() throws {
    let error = try #require(throws: ProcessError.self) {
      try ToolCommand(["no-such-program"], environment: environment).run()
    }
    #expect(error.kind == .missingProgram)
  }
}
