import ApusMessaging
import Glibc

/// A controller that can be reached: somebody's, or one of our own that ends with the measurement.
final class RunningController {
  let client: ConnectionFile
  let engineFile: String
  /// `nil`: nothing can be said about its processor time.
  let process: pid_t?
  private let child: ChildProcess?
  private let directory: String?
  private let log: String?

  private static let patience = 60.0

  init(clientFile: String, engineFile: String, process: pid_t?) throws(LoadError) {
    client = try Self.read(clientFile)
    self.engineFile = engineFile
    self.process = process
    child = nil
    directory = nil
    log = nil
  }

  /// Starts one in a temporary profile and waits for its files.
  init(starting words: [String], options: [String]) throws(LoadError) {
    let directory = try Interruption.temporaryDirectory()
    let profile = "\(directory)/profile_bench"
    for path in ["", "/security", "/log", "/pid"] { mkdir(profile + path, 0o700) }
    var command = words.map { $0 == "{profile}" ? profile : $0 }
    if command == words { command.append("--profile-dir=\(profile)") }
    command += options
    let log = "\(directory)/controller.log"
    let child = try ChildProcess(command, log: log, environment: ["IPYTHONDIR=\(directory)"])
    let clientFile = "\(profile)/security/ipcontroller-client.json"
    let engineFile = "\(profile)/security/ipcontroller-engine.json"
    self.engineFile = engineFile
    self.directory = directory
    self.log = log
    self.child = child
    process = child.id
    do throws(LoadError) {
      client = try Self.wait(for: [clientFile, engineFile], of: child, log: log)
    } catch {
      child.stop(patience: 5)
      Interruption.remove(directory)
      throw error
    }
  }

  /// - Returns: the first file's connection when both can be read. A stock controller does not write them at one stroke.
  private static func wait(for files: [String], of child: ChildProcess, log: String) throws(LoadError) -> ConnectionFile {
    let deadline = Clock.seconds() + patience
    while true {
      if let status = child.exitStatus() { throw LoadError("the controller ended: \(status)\n\(lastLines(log))") }
      if let connection = try? read(files[0]), (try? read(files[1])) != nil { return connection }
      if Clock.seconds() > deadline {
        throw LoadError("the controller wrote no connection files in \(Int(patience)) s\n\(lastLines(log))")
      }
      usleep(10_000)
    }
  }

  static func read(_ path: String) throws(LoadError) -> ConnectionFile {
    guard let text = TextFile.read(path) else { throw LoadError("cannot read \(path): \(String(cString: strerror(errno)))") }
    do {
      var file = try ConnectionFile(parsing: text)
      // Whoever is bound to every address of this machine is also bound to this one.
      if ["*", "0.0.0.0"].contains(file.host) { file.interface = "tcp://127.0.0.1" }
      return file
    } catch { throw LoadError("\(path): \(error)") }
  }

  private static func lastLines(_ path: String) -> String {
    (TextFile.read(path) ?? "").split(separator: "\n").suffix(8).map { "  \($0)" }.joined(separator: "\n")
  }

  func reading(memory: Bool = false) -> ProcessReading? { process.map { ProcessReading(of: $0, memory: memory) } }

  /// - Throws: if ours has ended.
  func checkAlive() throws(LoadError) {
    if let status = child?.exitStatus() { throw LoadError("the controller ended: \(status)\n\(log.map(Self.lastLines) ?? "")") }
  }

  /// Ends ours, and removes its profile.
  func stop() {
    child?.stop(patience: 20)
    if let directory { Interruption.remove(directory) }
  }
}
