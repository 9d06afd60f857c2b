/// What the clients of a controller have subscribed to of engines' output, as far as engines should know.
///
/// An engine publishes two status messages for each task, which few clients but ipyparallel's read. The relay tells engines by a subscription
/// that matches nothing, `quiet`, that nobody does; stock engines, which do not look at subscriptions, publish as ever.
public struct OutputAudience: Sendable {
  /// Subscribed to while nobody listens to engines' status.
  public static let quiet = "apus.quiet"

  /// Those by which status is heard.
  private var topics: Set<String> = []

  public init() {}

  /// libzmq tells of each subscription to a topic, and of the end of the last.
  public mutating func heard(_ topic: String, isSubscription: Bool) {
    if !isSubscription { topics.remove(topic) } else if Self.matchesStatus(topic) { topics.insert(topic) }
  }

  public var wantsStatus: Bool { !topics.isEmpty }

  /// Whether the topic is a beginning of `engine.<number>.status`.
  static func matchesStatus(_ topic: String) -> Bool {
    let start = "engine."
    if start.hasPrefix(topic) { return true }
    guard topic.hasPrefix(start) else { return false }
    let rest = topic.dropFirst(start.count).drop { $0.isASCII && $0.isNumber }
    return ".status".hasPrefix(rest)
  }
}
