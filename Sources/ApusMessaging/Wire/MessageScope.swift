import Transport

/// On which channel and in which direction a message between two of Apus's own parties is. Its signature holds there and nowhere else: what was
/// said on one channel cannot be said again on another. Stock peers' signatures know no such thing.
public struct MessageScope: Hashable, Sendable {
  /// A channel of the connection file.
  public enum Channel: String, Sendable { case hub, mux, task, control, broadcast }

  let frame: Frame
  private init(_ text: String) { frame = Frame(text) }

  private static let requests = scopes("request")
  private static let replies = scopes("reply")

  private static func scopes(_ direction: String) -> [Channel: MessageScope] {
    let channels: [Channel] = [.hub, .mux, .task, .control, .broadcast]
    return Dictionary(uniqueKeysWithValues: channels.map { ($0, MessageScope("apus \(direction) \($0.rawValue)")) })
  }

  /// From a client to whoever answers, through relays unchanged.
  public static func request(_ channel: Channel) -> MessageScope { requests[channel] ?? MessageScope("") }
  /// Back.
  public static func reply(_ channel: Channel) -> MessageScope { replies[channel] ?? MessageScope("") }

  // Batches are made anew at each hop.
  public static let clientToScheduler = MessageScope("apus batch client scheduler")
  public static let schedulerToEngine = MessageScope("apus batch scheduler engine")
  public static let engineToScheduler = MessageScope("apus batch engine scheduler")
  public static let schedulerToClient = MessageScope("apus batch scheduler client")
}
