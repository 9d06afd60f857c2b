import Glibc

/// The computer under the measurement.
enum Machine {
  /// Ticks that a hypervisor gave to others, and all ticks, since the start.
  static func stolenTicks() -> (stolen: Int, all: Int) {
    guard let line = TextFile.read("/proc/stat")?.split(separator: "\n").first else { return (0, 0) }
    let numbers = line.split(separator: " ").dropFirst().prefix(8).map { Int($0) ?? 0 }
    return (numbers.count > 7 ? numbers[7] : 0, numbers.reduce(0, +))
  }

  /// Puts every thread of these processes on these processors: `1`, or `0-3`.
  ///
  /// By `taskset` of util-linux: Glibc's module for Swift leaves out what it calls.
  static func place(_ processes: [pid_t], on processors: String) throws(LoadError) {
    for process in processes {
      let taskset = try ChildProcess(
        ["taskset", "--all-tasks", "--cpu-list", "--pid", processors, String(process)], log: "/dev/null")
      let deadline = Clock.seconds() + 5
      while taskset.exitStatus() == nil, Clock.seconds() < deadline { usleep(500) }
      guard taskset.exitStatus() == "exit code 0" else {
        throw LoadError("taskset cannot place process \(process) on processors \(processors)")
      }
    }
  }

  static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// As many descriptors as the system allows: a thousand engines have thirteen thousand.
  static func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}
