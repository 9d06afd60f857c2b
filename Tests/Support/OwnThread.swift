import Foundation

/// Runs what computes for long on a thread of its own, beside those few that all other tests share: they have time limits, and would wait for it.
public func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
  await withCheckedContinuation { continuation in
    Thread.detachNewThread { continuation.resume(returning: body()) }
  }
}
