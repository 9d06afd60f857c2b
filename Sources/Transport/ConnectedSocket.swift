import CAdmission

/// A connection of libzmq's, as a message's descriptor tells of it: to be looked at, not to be used.
///
/// Its number may be somebody else's later, which is noticed.
public struct ConnectedSocket: Hashable, Sendable {
  private let descriptor: Int32
  private let inode: UInt64

  /// - Returns: `nil` if the number is no socket's.
  public init?(_ descriptor: Int32) {
    self.descriptor = descriptor
    inode = apus_socket_inode(descriptor)
    if inode == 0 { return nil }
  }

  public var isThere: Bool { apus_socket_inode(descriptor) == inode }

  /// Bytes that the other end has not taken, or not confirmed yet.
  public var unsentBytes: Int { isThere ? Int(apus_unsent_bytes(descriptor)) : 0 }
}
