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
    guard isPlain(name), let type = _typeByName(name) else { return nil }
    tables.withLock { tables in if tables.types.count < limit { tables.types[name] = type } }
    return type
  }

  /// Mangled names of types in the same image may hold addresses as control characters; those are no names.
  private static func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= longest && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F }
  }
}
