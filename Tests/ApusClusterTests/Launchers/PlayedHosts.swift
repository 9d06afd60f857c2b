import ApusMessaging
import ApusProcess
import Glibc
import Testing

@testable import ApusCluster

/// Hosts that are played: what stands in for `ssh` runs the scripts here, and does what a test wants to go wrong, once for each `do` of that host.
final class PlayedHosts {
  let directory = TemporaryDirectory()
  let environment: Environment
  let program: String

  /// What becomes of a command.
  enum Fault: String {
    /// It is never connected, which takes longer than the time for that.
    case silent = "sleep 1.5; echo 'Connection timed out' >&2; exit 255"
    /// No answer, not even an end.
    case hung = "exec sleep 1000"
    /// The host refuses it at once.
    case refused = "echo 'Connection refused' >&2; exit 255"
    /// The host does it, and its answer is lost.
    case mute = "python3 - >/dev/null; echo 'client_loop: send disconnect: Broken pipe' >&2; exit 255"
  }

  init() throws {
    var environment = Environment.current()
    environment["TMPDIR"] = "\(directory.path)/tmp"
    self.environment = environment
    mkdir("\(directory.path)/tmp", 0o700)
    let script = """
      #!/bin/sh
      case " $* " in *" -O "*) exit 0 ;; esac
      eval "host=\\${$(($# - 2))}"
      cd "\(directory.path)"
      for fault in "$host".once.*; do mv "$fault" "taken-$$" 2>/dev/null && break; done
      # Whoever sees the call knows that the fault is taken.
      echo "$host" >> calls
      if [ -e "taken-$$" ]; then . "./taken-$$"; fi
      if [ -e "$host.always" ]; then . "./$host.always"; fi
      exec python3 -

      """
    program = try directory.writeProgram("ssh", script)
  }

  /// - Parameter always: whether all that is asked of the host from now on has it, or only the next.
  func play(_ fault: Fault, on host: String, always: Bool = false) throws {
    let name = always ? "\(host).always" : "\(host).once.\(calls)"
    try AtomicFile.write(Array(fault.rawValue.utf8), to: "\(directory.path)/\(name)")
  }

  var calls: Int { (try? FileSystem.text(of: "\(directory.path)/calls"))?.split(separator: "\n").count ?? 0 }

  /// What hosts keep of sets of engines.
  var folders: [String] { FileSystem.entries(of: "\(directory.path)/tmp").filter { $0.hasPrefix("apus-engines-") } }

  func launcher(
    _ hosts: [String], command: [String] = ["/bin/sh", "-c", "exec sleep 1000"], connectTimeout: Duration = .seconds(1)
  )
    throws -> SSHLauncher
  {
    var options = SSHLauncher.Options()
    options.sshCommand = [program]
    options.connectTimeout = connectTimeout
    let hosts = try hosts.map { name in
      var host = try #require(SSHHost(name))
      host.engineCommand = command
      return host
    }
    return SSHLauncher(hosts, counts: hosts.map { _ in 2 }, options, environment)
  }

  func job(isController: Bool = false) -> EngineJob {
    var job = EngineJob(
      profile: ProfileDirectory("\(directory.path)/profile"), clusterID: "x",
      command: .init(program: "/bin/true", arguments: ["/bin/true"], environment: environment))
    job.setID = "1"
    job.connectionInfo = "{}"
    job.isController = isController
    return job
  }
}
