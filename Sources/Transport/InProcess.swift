/// A way between parties of one process that leaves out the network and libzmq's own threads: `inproc` endpoints, named after the TCP ports
/// that they stand beside.
public struct InProcess: Sendable {
  /// Both parties' sockets must live in it.
  public let context: Context
  /// Tells the endpoints of one controller from those of another.
  public let name: String

  public init(context: Context, name: String) {
    self.context = context
    self.name = name
  }

  public func endpoint(port: Int) -> String { "inproc://\(name)-\(port)" }
}
