public import ApusMessaging

/// Tasks that were submitted together, one for each engine or one for all.
public struct TaskSet: Sendable, RandomAccessCollection {
  /// In the order of the engines.
  public let handles: [TaskHandle]

  public init(_ handles: [TaskHandle]) { self.handles = handles }

  public var startIndex: Int { handles.startIndex }
  public var endIndex: Int { handles.endIndex }
  public subscript(index: Int) -> TaskHandle { handles[index] }

  /// All replies, in order.
  /// - Throws: the first failure in this order, when it and those before it are known. Cancelling aborts what is outstanding.
  public var replies: [TaskReply] {
    get async throws {
      var replies: [TaskReply] = []
      replies.reserveCapacity(handles.count)
      do { for handle in handles { replies.append(try await handle.reply) } } catch let error as CancellationError {
        cancel()
        throw error
      }
      return replies
    }
  }

  /// How each ended, in order, whatever that was.
  public var results: [Result<TaskReply, any Error>] {
    get async {
      var results: [Result<TaskReply, any Error>] = []
      for handle in handles {
        do { results.append(.success(try await handle.reply)) } catch { results.append(.failure(error)) }
      }
      return results
    }
  }

  /// How many are done, well or badly.
  public var progress: Int { handles.count { $0.status != .outstanding } }
  public var isDone: Bool { progress == handles.count }

  /// Asks for those outstanding to be aborted, without waiting.
  public func cancel() { for handle in handles { handle.cancel() } }

  /// All output of all tasks as it comes, with the engine's id; ends when all of it is complete.
  public var outputEvents: AsyncStream<(engine: EngineID?, event: TaskOutput.Event)> {
    let handles = handles
    return AsyncStream { continuation in
      let reading = Task {
        await withTaskGroup(of: Void.self) { group in
          for handle in handles {
            group.addTask { for await event in handle.outputEvents { continuation.yield((handle.engine?.id, event)) } }
          }
        }
        continuation.finish()
      }
      continuation.onTermination = { _ in reading.cancel() }
    }
  }
}
