public import ApusMessaging
public import Transport

extension Shell {
  /// How a request has ended, for its answer.
  public struct Outcome: Sendable {
    public var type: MessageType
    public var succeeded: Bool
    public var content: Frame
    public var buffers: [Frame]
    public var errorName: String?
    public var codec: String?
    /// The kernel cannot run such a task, and another might: a scheduler that balances tries the next engine.
    public var isRefusal: Bool

    public init(
      type: MessageType, succeeded: Bool, content: Frame, buffers: [Frame] = [], errorName: String? = nil, codec: String? = nil,
      isRefusal: Bool = false
    ) {
      self.type = type
      self.succeeded = succeeded
      self.content = content
      self.buffers = buffers
      self.errorName = errorName
      self.codec = codec
      self.isRefusal = isRefusal
    }
  }
}
