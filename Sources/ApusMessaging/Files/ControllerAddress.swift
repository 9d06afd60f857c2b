import Glibc

/// Where `*` and `0.0.0.0` of a connection file are, seen from this machine (protocol section 1.4).
public enum ControllerAddress {
  /// - Parameters:
  ///   - host: of the file's `interface`; a concrete one is used as it is.
  ///   - location: host name or address of the machine that the controller runs on.
  public static func resolve(host: String, location: String) -> String {
    guard host == "*" || host == "0.0.0.0" else { return host }
    if location.isEmpty || location == hostName { return "127.0.0.1" }
    guard let address = ipv4(location) else { return location }
    return isLocal(address) ? "127.0.0.1" : address
  }

  /// Whether only this host can be where it is listened on.
  public static func isLoopback(_ address: String) -> Bool {
    address.hasPrefix("127.") || address == "localhost" || address == "::1" || address == "[::1]"
  }

  public static var hostName: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "" }
    return text(name)
  }

  /// The address, in digits, that a name is listened on by: libzmq binds no names.
  /// - Returns: what is one already, as it is; `nil` for a name that does not resolve.
  public static func listening(_ name: String) -> String? {
    if name == "*" || name.contains(":") || name.hasPrefix("[") { return name }
    return ipv4(name)
  }

  private static func ipv4(_ name: String) -> String? {
    var hints = addrinfo()
    hints.ai_family = AF_INET
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, nil, &hints, &list) == 0, let list else { return nil }
    defer { freeaddrinfo(list) }
    return numeric(list.pointee.ai_addr, list.pointee.ai_addrlen)
  }

  private static func isLocal(_ address: String) -> Bool {
    if address.hasPrefix("127.") { return true }
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return false }
    defer { freeifaddrs(list) }
    var entry = list
    while let current = entry {
      if let socketAddress = current.pointee.ifa_addr, Int32(socketAddress.pointee.sa_family) == AF_INET,
        numeric(socketAddress, socklen_t(MemoryLayout<sockaddr_in>.size)) == address
      {
        return true
      }
      entry = current.pointee.ifa_next
    }
    return false
  }

  private static func numeric(_ address: UnsafePointer<sockaddr>?, _ size: socklen_t) -> String? {
    var host = [CChar](repeating: 0, count: 64)
    guard let address, getnameinfo(address, size, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0 else { return nil }
    return text(host)
  }

  private static func text(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
