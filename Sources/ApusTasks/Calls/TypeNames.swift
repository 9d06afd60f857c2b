import Glibc
import Synchronization

/// Types by the names that another process of the same program knows them by, and back. Both questions are dear to the runtime, and asked
/// for every call.
enum TypeNames {
  private struct Tables {
    var names: [ObjectIdentifier: String] = [:]
    var types: [String: any Any.Type] = [:]
  }

  private static let tables = Mutex(Tables())
  /// Names are remembered up to this many; a program has fewer types in its calls.
  private static let limit = 4096
  /// In bytes. Names come from outside; the longest that compilers make of sensible types are a tenth of this.
  private static let longest = 16_384

  /// - Returns: `nil` for a type whose name would mean nothing elsewhere.
  static func name(of type: any Any.Type) -> String? {
    let key = ObjectIdentifier(type)
    if let name = tables.withLock({ $0.names[key] }) { return name }
    guard let name = _mangledTypeName(type), isPlain(name) else { return nil }
    tables.withLock { tables in if tables.names.count < limit { tables.names[key] = name } }
    return name
  }

  static func type(named name: String) -> (any Any.Type)? {
    if let type = tables.withLock({ $0.types[name] }) { return type }
    // The runtime's reader of names trusts them: what is no whole name would make it read wild memory.
    guard isPlain(name), isWellFormed(name), let type = _typeByName(name) else { return nil }
    tables.withLock { tables in if tables.types.count < limit { tables.types[name] = type } }
    return type
  }

  /// Mangled names of types in the same image may hold addresses as control characters; those are no names.
  private static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= longest && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
  }

  /// Whether it is the mangling of a nominal type or of one made from those: it begins like one, and the demangler takes it as a whole.
  private static func isWellFormed(_ name: String) -> Bool {
    let bytes = Array(name.utf8.prefix(2))
    guard bytes.count == 2 else { return false }
    let isDigit: (UInt8) -> Bool = { 0x30...0x39 ~= $0 }
    let isLetter: (UInt8) -> Bool = { 0x41...0x5A ~= $0 & 0xDF }
    switch bytes[0] {
    case UInt8(ascii: "S"): guard isLetter(bytes[1]) else { return false }
    case UInt8(ascii: "s"): guard isDigit(bytes[1]) else { return false }
    default: guard isDigit(bytes[0]) else { return false }
    }
    guard name.utf8.allSatisfy({ isDigit($0) || isLetter($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "$") }) else {
      return false
    }
    return demangles("$s" + name)
  }

  private static func demangles(_ symbol: String) -> Bool {
    var symbol = symbol
    let text = symbol.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { demangle($0.baseAddress, UInt($0.count), nil, nil, 0) }
    }
    defer { free(text) }
    return text != nil
  }
}

/// The runtime's own demangler, which refuses what is no symbol. Part of the ABI (`swift/Demangling/Demangle.h`).
@_silgen_name("swift_demangle")
private func demangle(
  _ name: UnsafePointer<CChar>?, _ length: UInt, _ output: UnsafeMutablePointer<CChar>?,
  _ outputLength: UnsafeMutablePointer<UInt>?,
  _ flags: UInt32
) -> UnsafeMutablePointer<CChar>?
