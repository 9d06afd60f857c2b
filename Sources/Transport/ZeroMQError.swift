import CZeroMQ

/// What libzmq answered instead of doing what it was asked.
public struct ZeroMQError: Error, Hashable, Sendable, CustomStringConvertible {
  /// An `errno` value or one of libzmq's own.
  public let code: Int32
  /// What was being done, for the sentence a person reads: `bind tcp://127.0.0.1:5555`.
  public let action: String

  public init(code: Int32, action: String = "") {
    self.code = code
    self.action = action
  }

  static func last(_ action: String = "") -> ZeroMQError { ZeroMQError(code: zmq_errno(), action: action) }

  /// The peer of a mandatory ROUTER is not connected.
  public var isUnreachable: Bool { code == EHOSTUNREACH }
  /// The socket, or the peer's share of it, has reached its high-water mark.
  public var isFull: Bool { code == EAGAIN }
  public var isAddressInUse: Bool { code == EADDRINUSE }

  public var description: String {
    let reason = String(cString: zmq_strerror(code))
    return action.isEmpty ? reason : "\(action): \(reason)"
  }
}
