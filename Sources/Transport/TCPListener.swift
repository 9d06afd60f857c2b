import CAdmission
import CZeroMQ
import Glibc

/// A TCP port that is listened on and guarded before libzmq gets it, so that not one connection comes past the guard.
public struct TCPListener: ~Copyable {
  /// Who may connect.
  public enum Admission: Sendable {
    /// Everybody: who is there is for the protocol to find out (CURVE). Connections of others may not take all descriptors.
    case anybody
    /// From this host, our own user alone; from other hosts everybody.
    case ownUserOnThisHost
  }

  public let port: Int
  private let descriptor: Int32

  /// - Parameters:
  ///   - address: of this machine, in digits; `*` is every one of them.
  ///   - port: 0 is a free one.
  ///   - backlog: connections that may wait to be accepted. libzmq's 100 loses SYNs when thousands of engines start together.
  /// - Throws: `isAddressInUse` where somebody listens there already.
  public init(address: String, port: Int, backlog: Int32 = 4096, admission: Admission) throws(ZeroMQError) {
    let action = "listen on \(address):\(port == 0 ? "*" : String(port))"
    var hints = addrinfo()
    hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV
    hints.ai_family = address.contains(":") ? AF_INET6 : AF_INET
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let name = address == "*" ? nil : address.hasPrefix("[") ? String(address.dropFirst().dropLast()) : address
    guard (0...65_535).contains(port), getaddrinfo(name, String(port), &hints, &list) == 0, let found = list else {
      throw ZeroMQError(code: ENODEV, action: action)
    }
    defer { freeaddrinfo(list) }
    let flags = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(found.pointee.ai_family, flags, 0)
    guard descriptor >= 0 else { throw ZeroMQError(code: errno, action: action) }
    // As libzmq does: a port that a controller has left a moment ago can be taken again.
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
    guard bind(descriptor, found.pointee.ai_addr, found.pointee.ai_addrlen) == 0, let bound = Self.port(of: descriptor) else {
      let code = errno
      close(descriptor)
      throw ZeroMQError(code: code, action: action)
    }
    PortGuard.raise(bound, admission)
    guard listen(descriptor, backlog) == 0 else {
      let code = errno
      PortGuard.lower(bound)
      close(descriptor)
      throw ZeroMQError(code: code, action: action)
    }
    self.descriptor = descriptor
    self.port = bound
  }

  deinit {
    close(descriptor)
    PortGuard.lower(port)
  }

  /// The descriptor, whose owner is somebody else from now on. The port stays guarded: see `PortGuard`.
  consuming func give() -> Int32 {
    let (given, port) = (descriptor, port)
    discard self
    // The listener's own share; whoever made a `PortGuard` of it has another.
    PortGuard.lower(port)
    return given
  }

  private static func port(of descriptor: Int32) -> Int? {
    var address = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
    }
    guard result == 0 else { return nil }
    return withUnsafePointer(to: address) { pointer in
      // The port has the same place in addresses of both families.
      pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { Int(UInt16(bigEndian: $0.pointee.sin_port)) }
    }
  }
}

/// Keeps a port guarded for as long as this, or another for the same port, is there.
public final class PortGuard: Sendable {
  private static let holders = Mutex<[Int: Int]>([:])
  private let port: Int

  /// Of a listener that is given to a socket.
  public init(of listener: borrowing TCPListener) {
    port = listener.port
    Self.holders.withLock { $0[port, default: 0] += 1 }
  }

  deinit { Self.lower(port) }

  static func isGuarded(_ port: Int) -> Bool { holders.withLock { $0[port] != nil } }

  fileprivate static func raise(_ port: Int, _ admission: TCPListener.Admission) {
    holders.withLock {
      $0[port, default: 0] += 1
      apus_admission_guard(Int32(port), admission.rules)
    }
  }

  fileprivate static func lower(_ port: Int) {
    holders.withLock {
      let left = ($0[port] ?? 1) - 1
      $0[port] = left > 0 ? left : nil
      if left <= 0 { apus_admission_unguard(Int32(port)) }
    }
  }
}

extension TCPListener.Admission {
  /// Whether this program can keep anybody out: it can unless Apus was loaded into a program that was running already.
  public static var isInPlace: Bool { apus_admission_is_in_place() != 0 }

  fileprivate var rules: Int32 {
    switch self {
    case .anybody: 0
    case .ownUserOnThisHost: Int32(APUS_ADMIT_OWN_USER)
    }
  }
}
