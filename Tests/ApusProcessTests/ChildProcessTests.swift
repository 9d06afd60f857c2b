import ApusProcess
import Foundation
import Glibc
import Synchronization
import TestSupport
import Testing

/// Swift Testing has one of that name too.
private typealias Status = ApusProcess.ExitStatus

@Suite("Child processes", .timeLimit(.minutes(1 * patience)))
struct ChildProcessTests {
  private func shell(_ script: String, _ variables: [String: String] = [:]) -> ChildProcess.Command {
    ChildProcess.Command(
      program: "/bin/sh", arguments: ["sh", "-c", script],
      environment: Environment(["PATH": "/usr/bin:/bin"].merging(variables) { $1 }))
  }

  /// Its end, for whoever waits; the process is gone then.
  private func ended(_ pid: Int32) async -> Status {
    await withCheckedContinuation { continuation in
      let process = WatchedProcess(pid: pid) { continuation.resume(returning: $0) }
      _ = process
    }
  }

  private func read(_ descriptor: Int32) -> String {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1000)
    while case let count = Glibc.read(descriptor, &buffer, buffer.count), count > 0 { text += buffer[..<count] }
    return String(decoding: text, as: UTF8.self)
  }

  @Test("its streams: input and output by pipes, errors to a file")
  func streams() async throws {
    let log = FileManager.default.temporaryDirectory.appendingPathComponent("apus-child-\(UUID().uuidString)").path
    defer { unlink(log) }
    let (theirInput, ourInput) = try Pipe.open(isNonblocking: false)
    let (ourOutput, theirOutput) = try Pipe.open(isNonblocking: false)
    defer { close(ourOutput) }
    let pid = try shell("echo \"$WORD\" >&2; exec cat", ["WORD": "into the log"]).spawn(
      input: .descriptor(theirInput), output: .descriptor(theirOutput), errors: .file(log), isolation: .group)
    close(theirInput)
    close(theirOutput)
    #expect(write(ourInput, "through", 7) == 7)
    close(ourInput)
    #expect(read(ourOutput) == "through")
    #expect(await ended(pid) == .exited(0))
    #expect(try String(contentsOfFile: log, encoding: .utf8) == "into the log\n")
  }

  @Test("what we ignore and block is nothing to it, and it leads its own group or session", arguments: [true, false])
  func isolation(isSession: Bool) async throws {
    let (output, theirs) = try Pipe.open(isNonblocking: false)
    defer { close(output) }
    var blocked = sigset_t()
    var before = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGUSR1)
    // In this thread alone: the test's own process goes on as it was.
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    let pid = try shell("awk '/^SigBlk/ { print $2 }' /proc/self/status; cut -d' ' -f5,6 /proc/$$/stat").spawn(
      output: .descriptor(theirs), isolation: isSession ? .session : .group)
    pthread_sigmask(SIG_SETMASK, &before, nil)
    close(theirs)
    let lines = read(output).split(separator: "\n")
    #expect(await ended(pid) == .exited(0))
    #expect(lines.first == "0000000000000000")
    let ids = try #require(lines.last).split(separator: " ").compactMap { Int32($0) }
    #expect(ids[0] == pid)
    #expect((ids[1] == pid) == isSession)
  }

  @Test("what cannot be started says why: the program, or the file for its output")
  func refusals() throws {
    let missing = ChildProcess.Command(program: "no-such-program", arguments: ["x"], environment: Environment([:]))
    #expect { try missing.spawn(output: .nothing, isolation: .group) } throws: { error in
      (error as? ProcessError)?.kind == .missingProgram && "\(error)".contains("no-such-program")
    }
    #expect { try shell("true").spawn(output: .file("/no/folder/log"), isolation: .group) } throws: { error in
      (error as? ProcessError)?.kind == .file && "\(error)".contains("/no/folder/log")
    }
  }

  @Test("a signal ends it, and none is sent to a number that may be another's")
  func signals() async throws {
    let statuses = Mutex<[Status]>([])
    let pid = try shell("exec sleep 600").spawn(output: .nothing, isolation: .group)
    let status = await withCheckedContinuation { continuation in
      let process = WatchedProcess(pid: pid) { status in
        statuses.withLock { $0.append(status) }
        continuation.resume(returning: status)
      }
      process.send(SIGTERM)
    }
    #expect(status == .signaled(SIGTERM))
    #expect(statuses.withLock { $0 } == [.signaled(SIGTERM)])
    // It is out of the system's table.
    #expect(kill(pid, 0) == -1 && errno == ESRCH)
  }

  @Test("an end is told once, by its code or its signal")
  func ends() async throws {
    #expect(await ended(try shell("exit 7").spawn(output: .nothing, isolation: .session)) == .exited(7))
    #expect(await ended(try shell("kill -9 $$").spawn(output: .nothing, isolation: .session)) == .signaled(SIGKILL))
  }
}
