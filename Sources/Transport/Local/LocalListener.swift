import CZeroMQ
import Glibc

/// Takes connections of parties on the same host that run as the same user.
public final class LocalListener: Sendable {
  public let path: String
  private let passesOn: Bool
  /// For event loops: readable when `accept` may have something.
  public let descriptor: Int32

  /// - Parameters:
  ///   - path: in a folder that no other user can look into. What was there is replaced.
  ///   - passesOn: large frames that come by its connections go on to others.
  /// - Returns: `nil` if the system does not allow it.
  public init?(path: String, passesOn: Bool = true) {
    self.passesOn = passesOn
    self.path = path
    descriptor = LocalAddress.socket()
    unlink(path)
    guard descriptor >= 0, let address = LocalAddress(path), address.bind(descriptor), listen(descriptor, 1024) == 0 else {
      if descriptor >= 0 { close(descriptor) }
      return nil
    }
  }

  deinit {
    unlink(path)
    close(descriptor)
  }

  /// - Returns: `nil` when nobody waits. Other users are turned away.
  /// - Throws: when the system refuses one more descriptor; the listener stays readable then.
  public func accept() throws(SystemError) -> LocalSocket? {
    while true {
      let accepted = apus_accept(descriptor)
      guard accepted >= 0 else {
        if errno == EINTR || errno == ECONNABORTED { continue }
        if errno == EAGAIN { return nil }
        throw SystemError(errno)
      }
      if apus_is_own_peer(accepted) != 0 { return LocalSocket(owning: accepted, passesOn: passesOn) }
      close(accepted)
    }
  }
}

/// A path as an address of sockets.
struct LocalAddress {
  private var address = sockaddr_un()
  private let size: socklen_t

  /// - Returns: `nil` for a path that is too long: 107 bytes are the most.
  init?(_ path: String) {
    address.sun_family = sa_family_t(AF_UNIX)
    let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
    let bytes = Array(path.utf8)
    guard (1..<MemoryLayout.size(ofValue: address.sun_path)).contains(bytes.count) else { return nil }
    size = socklen_t(start + bytes.count + 1)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
  }

  static func socket() -> Int32 {
    Glibc.socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
  }

  func bind(_ descriptor: Int32) -> Bool { withAddress { Glibc.bind(descriptor, $0, size) == 0 } }
  func connect(_ descriptor: Int32) -> Bool { withAddress { Glibc.connect(descriptor, $0, size) == 0 } }

  private func withAddress(_ body: (UnsafePointer<sockaddr>) -> Bool) -> Bool {
    withUnsafePointer(to: address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0) } }
  }
}
