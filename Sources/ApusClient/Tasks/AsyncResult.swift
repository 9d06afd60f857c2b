public import ApusMessaging

/// A task whose reply is a value: what the typed layers return.
public struct AsyncResult<Value: Sendable>: Sendable {
  public let task: TaskHandle
  private let decode: @Sendable (TaskReply) throws -> Value
  private let mapError: @Sendable (any Error) -> any Error

  /// - Parameters:
  ///   - mapError: what is thrown for an error of the task; by default that error.
  ///   - decode: makes the value of the reply; called each time that it is asked for.
  public init(
    _ task: TaskHandle, mapError: @escaping @Sendable (any Error) -> any Error = { $0 },
    decode: @escaping @Sendable (TaskReply) throws -> Value
  ) {
    self.task = task
    self.mapError = mapError
    self.decode = decode
  }

  /// The value, as soon as the reply is there. Throws what the task threw; cancelling the waiting Swift task aborts the remote one.
  public var value: Value {
    get async throws {
      let reply: TaskReply
      do { reply = try await task.reply } catch { throw mapError(error) }
      return try decode(reply)
    }
  }

  /// As `value`, for at most so long; the task goes on after that.
  public func value(within timeout: Duration) async throws -> Value {
    let reply: TaskReply
    do { reply = try await task.reply(within: timeout) } catch { throw mapError(error) }
    return try decode(reply)
  }

  public var id: MessageID { task.id }
  public var status: TaskHandle.Status { task.status }
  /// What the task has written so far.
  public var output: TaskOutput { task.output }
  /// Asks for the task to be aborted, without waiting.
  public func cancel() { task.cancel() }
}
