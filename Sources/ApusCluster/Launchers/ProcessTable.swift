import Glibc

/// What the system says of processes that we did not start.
public enum ProcessTable {
  /// Whether the process runs and still is that of the cluster: numbers of processes are used again.
  ///
  /// Launchers, ours and ipyparallel's since version 8, start every process with `IPP_PROFILE_DIR`; before that the command line tells.
  public static func isAlive(_ process: ClusterFile.Process, of file: ClusterFile) -> Bool {
    guard isRunning(process.pid) else { return false }
    if let began = process.began { return began == self.began(process.pid) }
    guard let variables = environment(of: process.pid) else { return true }
    if variables.contains(where: { $0.hasPrefix("IPP_PROFILE_DIR=") || $0.hasPrefix("IPP_CLUSTER_ID=") }) { return true }
    let words = strings(of: "/proc/\(process.pid)/cmdline") ?? []
    return words.contains {
      $0.hasPrefix("ipyparallel.") || ["ipcontroller", "ipengine", "ipcluster", "apus"].contains(Path.name($0))
    }
  }

  /// A zombie has ended: only its parent has not noticed.
  static func isRunning(_ pid: Int32) -> Bool {
    if kill(pid, 0) != 0, errno == ESRCH { return false }
    guard let state = fields(of: pid)?.first else { return FileSystem.isDirectory("/proc/self") ? false : true }
    return state != "Z" && state != "X"
  }

  /// When a process began, in the system's own count; `nil` where it does not tell.
  static func began(_ pid: Int32) -> String? {
    guard let fields = fields(of: pid), fields.count > 19 else { return nil }
    return String(fields[19])
  }

  /// Tells this start of the host from others: its processes are numbered anew in each. `nil` where the system does not tell.
  public static var boot: String? {
    guard let text = try? FileSystem.text(of: "/proc/sys/kernel/random/boot_id") else { return nil }
    let id = text.prefix { !$0.isWhitespace }
    return id.isEmpty ? nil : String(id)
  }

  /// Of its line in the table, what comes after its name: state, parent, process group, session, …
  private static func fields(of pid: Int32) -> [Substring]? {
    guard let status = try? FileSystem.text(of: "/proc/\(pid)/stat"), let name = status.lastIndex(of: ")") else { return nil }
    return status[name...].dropFirst().split(separator: " ")
  }

  /// What a launcher of the cluster has started on this host, each in a session of its own, by the mark that all of it has.
  public static func started(for file: ClusterFile) -> [ClusterFile.Process] {
    let wanted = "\(EngineJob.localMark)=\(file.mark)"
    return FileSystem.entries(of: "/proc").compactMap { Int32($0) }.filter { pid in
      environment(of: pid)?.contains { $0.hasPrefix(wanted) } == true && isRunning(pid) && getsid(pid) == pid
    }.map { ClusterFile.Process(pid: $0, outputFile: "") }
  }

  /// Whether the launcher that started the process is still there, as its parent.
  public static func hasLauncher(_ process: ClusterFile.Process) -> Bool {
    guard let fields = fields(of: process.pid), fields.count > 1, let parent = Int32(fields[1]), parent > 1,
      let words = strings(of: "/proc/\(parent)/cmdline")
    else {
      return false
    }
    return words.contains("start") && words.prefix(2).contains { ["apus", "ipcluster"].contains(Path.name($0)) }
  }

  /// What the process was started with; `nil` where we may not look, or where it has overwritten it.
  private static func environment(of pid: Int32) -> [String]? {
    strings(of: "/proc/\(pid)/environ")
  }

  /// Processes whose environment holds a variable with this value, whoever started them.
  static func marked(_ name: String, _ value: String) -> [Int32] {
    guard !value.isEmpty else { return [] }
    let wanted = "\(name)=\(value)"
    return FileSystem.entries(of: "/proc").compactMap { Int32($0) }.filter {
      environment(of: $0)?.contains(wanted) == true && isRunning($0)
    }
  }

  /// What a launcher of this host has started of a set, by its mark, each in a session of its own: process and place in the set.
  static func engines(ofSet mark: String) -> [(pid: Int32, index: Int)] {
    let index = EngineJob.index + "="
    return marked(EngineJob.localMark, mark).filter { getsid($0) == $0 }.compactMap { pid in
      environment(of: pid)?.first { $0.hasPrefix(index) }.flatMap { Int($0.dropFirst(index.count)) }.map { (pid, $0) }
    }
  }

  /// Whether a process has this file open, as far as we may look.
  static func hasOpen(_ path: String, _ pid: Int32) -> Bool {
    var wanted = stat()
    guard stat(path, &wanted) == 0 else { return false }
    return FileSystem.entries(of: "/proc/\(pid)/fd").contains { name in
      var opened = stat()
      return stat("/proc/\(pid)/fd/\(name)", &opened) == 0 && opened.st_ino == wanted.st_ino && opened.st_dev == wanted.st_dev
    }
  }

  private static func strings(of path: String) -> [String]? {
    guard let text = try? FileSystem.text(of: path), !text.isEmpty else { return nil }
    return text.split(separator: "\0").map(String.init)
  }
}
