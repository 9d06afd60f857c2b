import ApusMessaging
import ApusValues
public import Distributed
import Synchronization
import Transport

/// Takes what a distributed actor's function returned or threw.
public final class CallResultHandler: DistributedTargetInvocationResultHandler, Sendable {
  public typealias SerializationRequirement = any Codable

  private struct Outcome: Sendable {
    var result: Result<[Frame], any Error>?
  }
  private let outcome = Mutex(Outcome())

  init() {}

  public func onReturn<Success: Codable>(value: Success) async throws {
    let frames = Result { try MessagePackEncoder().encode(value, outOfBand: MessagePackCodec.outOfBand) }
    outcome.withLock {
      $0.result = frames.mapError { TaskError(.badValue, "the result, a \(Success.self), cannot be written: \($0)") }
    }
  }

  public func onReturnVoid() async throws { outcome.withLock { $0.result = .success([]) } }

  public func onThrow<Failure: Error>(error: Failure) async throws { outcome.withLock { $0.result = .failure(error) } }

  func frames() throws -> [Frame] {
    guard let result = outcome.withLock({ $0.result }) else { throw TaskError(.malformed, "the function gave no result") }
    return try result.get()
  }
}
