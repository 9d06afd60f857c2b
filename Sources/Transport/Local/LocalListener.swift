import CZeroMQ
import Glibc

/// Takes connections of parties on the same host that run as the same user.
///
/// The name is a random one in Linux's abstract namespace, told in signed messages only. It leaves no file behind, and whoever hears of it
/// on another host finds nobody there.
public final class LocalListener: Sendable {
  public let name: String
  /// For event loops: readable when `accept` may have something.
  public let descriptor: Int32

  /// - Returns: `nil` if the system does not allow it.
  public init?() {
    name = "apus-\(Self.randomName())"
    descriptor = LocalAddress.socket()
    guard descriptor >= 0, LocalAddress(name).bind(descriptor), listen(descriptor, 1024) == 0 else {
      if descriptor >= 0 { close(descriptor) }
      return nil
    }
  }

  deinit { close(descriptor) }

  private static func randomName() -> String {
    var generator = SystemRandomNumberGenerator()
    return String(generator.next(), radix: 16) + String(generator.next(), radix: 16)
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
      if apus_is_own_peer(accepted) != 0 { return LocalSocket(owning: accepted) }
      close(accepted)
    }
  }
}

/// A name in the abstract namespace of this host (more exactly: of the network namespace that the process lives in).
struct LocalAddress {
  private var address = sockaddr_un()
  private let size: socklen_t

  init(_ name: String) {
    address.sun_family = sa_family_t(AF_UNIX)
    let start = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2
    size = withUnsafeMutableBytes(of: &address.sun_path) { path in
      // The first byte stays 0: that is what makes it abstract.
      let bytes = name.utf8.prefix(path.count - 1)
      for (index, byte) in bytes.enumerated() { path[index + 1] = byte }
      return socklen_t(start + 1 + bytes.count)
    }
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
