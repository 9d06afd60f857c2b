import ApusMessaging
import Transport

/// A call whose head was read and found good: what is left are its arguments.
protocol PreparedCall: Sendable {
  /// - Parameter arguments: the request's buffers after the head.
  /// - Returns: the frames of the result.
  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame]
}
