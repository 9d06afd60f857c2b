import Glibc

/// What a process and its descendants have used so far, as `/proc` tells.
struct ProcessReading {
  /// Processor time in nanoseconds by thread: name and id.
  private(set) var threads: [String: Int] = [:]
  /// Bytes: shared pages in parts, and shared pages in full.
  private(set) var proportional = 0
  private(set) var resident = 0
  private(set) var processCount = 0

  init(of root: pid_t, memory: Bool = false) {
    for process in Self.tree(root) {
      processCount += 1
      for thread in TextFile.names(in: "/proc/\(process)/task") {
        let path = "/proc/\(process)/task/\(thread)"
        guard let name = TextFile.read("\(path)/comm"), let times = TextFile.read("\(path)/schedstat"),
          let nanoseconds = Int(times.split(separator: " ").first ?? "")
        else { continue }
        threads["\(name.filter { $0 != "\n" }) \(thread)"] = nanoseconds
      }
      guard memory, let rollup = TextFile.read("/proc/\(process)/smaps_rollup") else { continue }
      proportional += Self.kilobytes("Pss:", in: rollup) * 1024
      resident += Self.kilobytes("Rss:", in: rollup) * 1024
    }
  }

  /// Seconds of all threads since they started.
  var processorSeconds: Double { threads.values.reduce(0) { $0 + Double($1) } / 1e9 }

  /// Seconds of all threads since an earlier reading.
  func processorSeconds(since earlier: ProcessReading) -> Double {
    threads.reduce(0) { $0 + Double($1.value - (earlier.threads[$1.key] ?? 0)) } / 1e9
  }

  /// The same by thread name, those of one name together, the busiest first.
  func busiestThreads(since earlier: ProcessReading) -> [(name: String, seconds: Double)] {
    var sums: [String: Double] = [:]
    for (key, value) in threads {
      sums[String(key[..<(key.lastIndex(of: " ") ?? key.endIndex)]), default: 0] +=
        Double(value - (earlier.threads[key] ?? 0)) / 1e9
    }
    return sums.map { (name: $0.key, seconds: $0.value) }.sorted { $0.seconds > $1.seconds }
  }

  private static func kilobytes(_ name: String, in text: String) -> Int {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else { return 0 }
    return Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0
  }

  /// The process and all that descend from it.
  static func tree(_ root: pid_t) -> [pid_t] {
    var children: [pid_t: [pid_t]] = [:]
    for name in TextFile.names(in: "/proc") {
      // The name of the program stands in parentheses and may hold spaces: the parent's id is the second word after them.
      guard let process = pid_t(name), let stat = TextFile.read("/proc/\(name)/stat"), let end = stat.lastIndex(of: ")"),
        let parent = pid_t(stat[end...].split(separator: " ").dropFirst(2).first ?? "")
      else { continue }
      children[parent, default: []].append(process)
    }
    var found = [root]
    var index = 0
    while index < found.count {
      found += children[found[index]] ?? []
      index += 1
    }
    return found
  }
}
