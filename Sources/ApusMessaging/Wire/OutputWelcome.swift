import Transport

/// How a client of ours learns that its subscriptions to output have arrived.
///
/// It subscribes, behind the others, to a topic of its own, which the relay answers by publishing a message with that topic: subscriptions of one connection
/// keep their order. What follows is heard. The topic is signed: nobody without the key can make one up. Its name comes behind those of engines, for libzmq subscribes
/// again in the order of names when it has lost the connection.
public struct OutputWelcome: Sendable {
  private let signer: Signer
  private static let start = "welcome.apus."
  /// Longer than any that a client makes.
  private static let maximumLength = 256

  public init(signer: Signer) { self.signer = signer }

  public func topic(of session: SessionID, _ number: Int) -> String {
    let name = "\(Self.start)\(session.text).\(number)"
    return "\(name).\(signer.sign([Frame(name)]).text)"
  }

  /// Whether a subscription asks for an answer.
  public func isAsked(by topic: String) -> Bool {
    guard topic.utf8.count <= Self.maximumLength, topic.hasPrefix(Self.start), let dot = topic.lastIndex(of: ".") else {
      return false
    }
    return signer.verify(Frame(String(topic[topic.index(after: dot)...])), [Frame(String(topic[..<dot]))])
  }
}
