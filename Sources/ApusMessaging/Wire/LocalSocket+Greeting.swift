public import Transport

/// What is said first on a local line.
extension LocalSocket {
  /// Where the controller takes lines of its own engines and clients, in the folder of its local sockets.
  public static func linesPath(in directory: String) -> String { LocalDirectory.file("lines", in: directory) }
  /// How a party introduces itself, once, before anything else: an engine with `content["uuid"]`, a client with `content["client"]`, which is the
  /// identity of its libzmq sockets, and `content["lane"]`.
  public static let greeting = MessageType("local_connection")
  /// The answer: from now on the line may be used. Its parent is the greeting.
  public static let welcome = MessageType("local_connection_reply")

  /// What a client's line carries. There are two, so that balanced tasks can be made to wait while direct requests cannot.
  public enum Lane: String, Sendable {
    /// Balanced tasks.
    case tasks
    /// Direct requests and broadcasts, in their order.
    case requests

    /// What every message of a client begins with, instead of the socket that libzmq would have brought it to.
    public static let task = Frame("task")
    public static let mux = Frame("mux")
    public static let broadcast = Frame("broadcast")
  }

  /// Before the random part of a client's identity. Nobody who has another kind of identity can have a line under it.
  public static let clientPrefix = "apus-client-"
  static let clientDigits = 32

  /// A name that nobody could guess.
  public static func clientIdentity() -> String {
    var generator = SystemRandomNumberGenerator()
    let digits = (0..<2).map { _ in
      let text = String(generator.next() as UInt64, radix: 16)
      return String(repeating: "0", count: clientDigits / 2 - text.utf8.count) + text
    }
    return clientPrefix + digits.joined()
  }

  public static func isClientIdentity(_ text: String) -> Bool {
    text.hasPrefix(clientPrefix) && text.utf8.count == clientPrefix.utf8.count + clientDigits
  }
}
