import Glibc

/// The engines of a measurement: this program again, under its hidden command.
final class EngineProcesses {
  private(set) var processes: [ChildProcess] = []

  /// - Parameter perProcess: how many engines each process plays.
  init(processes count: Int, perProcess: [Int], engineFile: String, status: Bool = false, bare: Bool = false) throws(LoadError) {
    for index in 0..<count where perProcess[index] > 0 {
      var words = [try ChildProcess.ownPath(), "echo-engine", "--engine-file", engineFile, "--count", String(perProcess[index])]
      if status { words.append("--status") }
      if bare { words.append("--bare") }
      processes.append(try ChildProcess(words, input: .pipe))
    }
  }

  convenience init(_ count: Int, engineFile: String, status: Bool = false, bare: Bool = false) throws(LoadError) {
    try self.init(
      processes: count, perProcess: [Int](repeating: 1, count: count), engineFile: engineFile, status: status, bare: bare)
  }

  /// - Throws: if one has ended.
  func checkAlive() throws(LoadError) {
    for process in processes {
      if let status = process.exitStatus() { throw LoadError("an engine process ended: \(status)") }
    }
  }

  func stop() {
    for process in processes { process.closeInput() }
    for process in processes { process.stop(patience: 2) }
    processes = []
  }
}
