import ApusMessaging
import Transport

/// How long a task may run, by the metadata of its request: `time_limit` and `kill_after`, in seconds.
struct TaskLimits: Sendable, Equatable {
  /// After this it is interrupted.
  var timeLimit: Duration?
  /// So long after an interrupt (by its limit or its client) the process is ended under it.
  var killAfter: Duration?

  /// Of a task that is over its limit and says nothing else.
  static let usualGrace = Duration.seconds(10)

  /// - Returns: `nil` where the metadata says nothing of it.
  init?(_ metadata: Frame) {
    let mayHave = metadata.withUnsafeBytes { HeaderScanner($0).has("time_limit") || HeaderScanner($0).has("kill_after") }
    guard mayHave, let members = (try? metadata.json())?.objectValue else { return nil }
    timeLimit = Self.seconds(members["time_limit"])
    killAfter = Self.seconds(members["kill_after"])
    if timeLimit == nil, killAfter == nil { return nil }
  }

  /// - Parameter orNone: whether no seconds are at once, and not never.
  /// - Returns: `nil` for none, for what is no number, and for centuries.
  static func seconds(_ value: JSONValue?, orNone: Bool = false) -> Duration? {
    guard let seconds = value?.doubleValue, seconds > 0 || orNone && seconds == 0, seconds < 1e9 else { return nil }
    return .seconds(seconds)
  }
}
