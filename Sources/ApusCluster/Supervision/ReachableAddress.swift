import ApusProcess
import Glibc

/// The address of this host that others reach it at: the one that packets to them would have.
enum ReachableAddress {
  static func of(_ target: LauncherReader.Target, _ environment: Environment) -> String {
    switch target {
    case .here: return "127.0.0.1"
    // An address for documentation, which nobody has: where there is a way to the world, it is the way to the cluster, most often.
    case .anywhere: return source(towards: "192.0.2.1") ?? interface() ?? "127.0.0.1"
    case .host(let words):
      let name = realName(words, environment)
      return source(towards: name) ?? source(towards: "192.0.2.1") ?? interface() ?? "127.0.0.1"
    }
  }

  /// What ssh's own configuration makes of a name.
  private static func realName(_ words: [String], _ environment: Environment) -> String {
    let destination = words.last?.split(separator: "@").last.map(String.init) ?? ""
    let command = words.prefix(1) + ["-G"] + words.dropFirst()
    guard let result = try? ToolCommand(Array(command), environment: environment, limit: .seconds(5)).run(), result.isSuccess else {
      return destination
    }
    for line in result.output.split(whereSeparator: \.isNewline) where line.hasPrefix("hostname ") {
      return String(line.dropFirst("hostname ".count)).trimmed
    }
    return destination
  }

  /// No packet is sent for it: the system only chooses.
  private static func source(towards name: String) -> String? {
    var hints = addrinfo()
    hints.ai_family = AF_INET
    hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, "9", &hints, &list) == 0, let list else { return nil }
    defer { freeaddrinfo(list) }
    let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    guard connect(descriptor, list.pointee.ai_addr, list.pointee.ai_addrlen) == 0 else { return nil }
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isKnown = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) == 0 }
    }
    return isKnown ? text(address.sin_addr) : nil
  }

  /// The first that is up and not the loopback.
  private static func interface() -> String? {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return nil }
    defer { freeifaddrs(list) }
    var entry = list
    while let current = entry {
      entry = current.pointee.ifa_next
      let flags = Int32(bitPattern: current.pointee.ifa_flags)
      guard let address = current.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET,
        flags & Int32(IFF_UP) != 0, flags & Int32(IFF_LOOPBACK) == 0
      else { continue }
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { text($0.pointee.sin_addr) }
    }
    return nil
  }

  private static func text(_ address: in_addr) -> String? {
    var address = address
    var buffer = [CChar](repeating: 0, count: Int(INET_ADDRSTRLEN))
    guard inet_ntop(AF_INET, &address, &buffer, socklen_t(buffer.count)) != nil else { return nil }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
