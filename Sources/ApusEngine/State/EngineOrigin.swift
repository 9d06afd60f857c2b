import Glibc

/// What the launcher that started this engine has told it by the environment.
struct EngineOrigin {
  /// Names the engine's place in its set, whichever process takes it: two engines with the same are one after the other.
  let name: String?
  /// Whether it wants the id of the one before it.
  let keepsID: Bool
  /// When its job ends, from now on; `nil` where nobody says.
  let timeLeft: Duration?
  /// How long before that it takes no more tasks.
  let grace: Duration

  /// When the process began first, in seconds since 1970; set where an engine begins anew.
  static let begunVariable = "APUS_ENGINE_BEGUN"
  private static let longestLimit = 366 * 86_400.0
  private static let standardGrace = 60.0

  init(_ variable: (String) -> String?, now: Double) {
    let index = variable("APUS_ENGINE_INDEX").flatMap { Self.index($0, variable) }
    if let set = variable("APUS_ENGINE_SET"), !set.isEmpty, let index { name = "\(set)#\(index)" } else { name = nil }
    keepsID = variable("APUS_ENGINE_KEEPS_ID") == "1"
    // What the system says is exact; how long the job may run was counted from its start on, which was a moment ago.
    let end = variable("SLURM_JOB_END_TIME").flatMap { Double($0) }.map { $0 - now }
    // One that has begun anew in its process says when that was: its job goes on.
    let gone = variable(Self.begunVariable).flatMap { Double($0) }.map { max(0, now - $0) } ?? 0
    let limit = end ?? variable("APUS_ENGINE_TIME_LIMIT").flatMap { Double($0) }.map { $0 - gone }
    let left = limit.flatMap { $0 > 0 && $0 < Self.longestLimit ? $0 : nil }
    timeLeft = left.map { .milliseconds(Int($0 * 1000)) }
    let wanted = variable("APUS_ENGINE_GRACE").flatMap { Double($0) }.flatMap { $0 >= 0 && $0 < Self.longestLimit ? $0 : nil }
    // A short job works for most of its time all the same.
    grace = .milliseconds(Int(min(wanted ?? Self.standardGrace, (left ?? 0) / 4) * 1000))
  }

  static func ofThisProcess() -> EngineOrigin {
    EngineOrigin({ name in getenv(name).map { String(cString: $0) } }, now: Double(time(nil)))
  }

  /// - Parameter rule: a number, or `FIRST:BASE:VARIABLE,VARIABLE`: the first of these that is there counts from `BASE` on.
  private static func index(_ rule: String, _ variable: (String) -> String?) -> Int? {
    if let index = Int(rule) { return index }
    let parts = rule.split(separator: ":", maxSplits: 2)
    guard parts.count == 3, let first = Int(parts[0]), let base = Int(parts[1]) else { return nil }
    for name in parts[2].split(separator: ",") {
      guard let number = variable(String(name)).flatMap({ Int($0) }) else { continue }
      let (index, isTooLarge) = first.addingReportingOverflow(number)
      return isTooLarge ? nil : index - base
    }
    return nil
  }
}
