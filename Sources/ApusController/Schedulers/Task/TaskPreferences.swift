import ApusMessaging

/// What few tasks ask for beyond ipyparallel's flags, in the metadata of their requests: `priority`, `resources`, `retry_delay`, `retry_on`.
///
/// One object for all tasks with the same metadata. (`time_limit` and `kill_after` are for the engine that runs the task.)
final class TaskPreferences: Sendable {
  /// Tasks of a higher one are served first; 0 is usual.
  let priority: Int
  /// Amounts that an engine must have, by name.
  let resources: [String: Double]
  /// The pause before the second try; each further one is twice as long.
  let retryDelay: Duration?
  /// Names of the exceptions after which it is tried again; empty is any.
  let retryOn: Set<String>

  static let highestPriority = 10_000
  /// No pause between tries is longer, unless the first one is.
  static let longestPause = Duration.seconds(300)
  private static let mostResources = 16
  private static let mostNames = 64

  init(priority: Int = 0, resources: [String: Double] = [:], retryDelay: Duration? = nil, retryOn: Set<String> = []) {
    self.priority = priority
    self.resources = resources
    self.retryDelay = retryDelay
    self.retryOn = retryOn
  }

  /// - Returns: `nil` where none of it is asked for.
  /// - Throws: a `ValueError` for the client.
  static func read(_ metadata: JSONObject) throws(RemoteError) -> TaskPreferences? {
    let priority = try number("priority", of: metadata)
    let resources = try amounts(metadata["resources"])
    let delay = try seconds("retry_delay", of: metadata)
    let names = try names(metadata["retry_on"])
    _ = try seconds("time_limit", of: metadata)
    _ = try seconds("kill_after", of: metadata)
    guard priority != 0 || !resources.isEmpty || delay != nil || !names.isEmpty else { return nil }
    return TaskPreferences(priority: priority, resources: resources, retryDelay: delay, retryOn: names)
  }

  private static func number(_ name: String, of metadata: JSONObject) throws(RemoteError) -> Int {
    guard let value = metadata[name], !value.isNull else { return 0 }
    guard let number = value.intValue, number.magnitude <= UInt(highestPriority) else {
      throw RemoteError(name: "ValueError", value: "\(name) is a whole number from -\(highestPriority) to \(highestPriority)")
    }
    return number
  }

  private static func seconds(_ name: String, of metadata: JSONObject) throws(RemoteError) -> Duration? {
    guard let value = metadata[name], !value.isNull else { return nil }
    guard let seconds = value.doubleValue, seconds >= 0 else {
      throw RemoteError(name: "ValueError", value: "\(name) is a number of seconds from 0 on")
    }
    // Centuries do not fit a clock.
    return seconds > 0 && seconds < 1e10 ? .seconds(seconds) : nil
  }

  private static func names(_ value: JSONValue?) throws(RemoteError) -> Set<String> {
    guard let value, value.isTruthy else { return [] }
    guard let names = value.stringArrayValue, names.count <= mostNames else {
      throw RemoteError(name: "ValueError", value: "retry_on is a list of at most \(mostNames) names of exceptions")
    }
    return Set(names)
  }

  /// Also what an engine says that it has.
  static func amounts(_ value: JSONValue?) throws(RemoteError) -> [String: Double] {
    guard let value, value.isTruthy else { return [:] }
    let refusal = RemoteError(
      name: "ValueError", value: "resources are at most \(mostResources) names with amounts from 0 on, such as {\"gpu\": 1}")
    guard let members = value.objectValue?.members, members.count <= mostResources else { throw refusal }
    var amounts: [String: Double] = [:]
    for (name, value) in members {
      guard let amount = value.doubleValue, amount >= 0, amount.isFinite else { throw refusal }
      if amount > 0 { amounts[name] = amount }
    }
    return amounts
  }

  /// The place of a task in the order of service: by priority, then by submission. Smaller is earlier.
  static func rank(_ priority: Int, submission: Int) -> Int { -priority << rankBits + submission }
  /// Those of the submission.
  static let rankBits = 48

  /// How long a task rests that comes back for the so-manieth time.
  func pause(attempt: Int) -> Duration? {
    guard let retryDelay else { return nil }
    var pause = retryDelay
    for _ in 1..<max(1, min(attempt, 64)) where pause < Self.longestPause { pause = min(pause * 2, Self.longestPause) }
    return pause
  }
}
