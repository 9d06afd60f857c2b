public import ApusMessaging

/// A task whose reply is a value: what the typed layers return.
public struct AsyncResult<Value: Sendable>: Sendable {
  public let task: TaskHandle
  private let decode: @Sendable (TaskReply) throws -> Value

  /// - Parameter decode: makes the value of the reply; called each time that it is asked for.
  public init(_ task: TaskHandle, decode: @escaping @Sendable (TaskReply) throws -> Value) {
    self.task = task
    self.decode = decode
  }

  /// The value, as soon as the reply is there. Throws what the task threw; cancelling the waiting Swift task aborts the remote one.
  public var value: Value { get async throws { try decode(await task.reply) } }

  /// As `value`, for at most so long; the task goes on after that.
  public func value(within timeout: Duration) async throws -> Value { try decode(await task.reply(within: timeout)) }

  public var id: MessageID { task.id }
  public var status: TaskHandle.Status { task.status }
  /// What the task has written so far.
  public var output: TaskOutput { task.output }
  /// Asks for the task to be aborted, without waiting.
  public func cancel() { task.cancel() }
}
