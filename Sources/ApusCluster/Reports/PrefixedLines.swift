/// Pieces of several streams as whole lines, each with the stream's name in front: output of many engines stays readable, and no
/// line is torn.
public struct PrefixedLines: Sendable {
  /// What has come of each stream's last line.
  private var rests: [String: [UInt8]] = [:]
  private var order: [String] = []

  /// A line that grows longer than this is shown in parts, in bytes.
  static let longest = 64 << 10

  public init() {}

  /// - Parameter prefix: the stream's name as it is printed; names the stream.
  /// - Returns: the lines that are whole now.
  public mutating func add(_ text: String, to prefix: String) -> String {
    if rests[prefix] == nil { order.append(prefix) }
    var bytes = rests[prefix] ?? []
    bytes.append(contentsOf: text.utf8)
    var lines = ""
    var start = 0
    var index = 0
    while index < bytes.count {
      defer { index += 1 }
      switch bytes[index] {
      case 0x0A:
        let end = index > start && bytes[index - 1] == 0x0D ? index - 1 : index
        lines += Self.line(prefix, bytes[start..<end], "\n")
        start = index + 1
      case 0x0D where index + 1 < bytes.count && bytes[index + 1] != 0x0A:
        // A progress bar that draws over itself. The return that it begins with ends nothing.
        if index > start { lines += Self.line(prefix, bytes[start..<index], "\r") }
        start = index + 1
      default:
        if index - start >= Self.longest, bytes[index] & 0xC0 != 0x80 {
          lines += Self.line(prefix, bytes[start..<index], "\n")
          start = index
        }
      }
    }
    rests[prefix] = Array(bytes[start...])
    return lines
  }

  /// The lines that never ended, of all streams or of one.
  public mutating func finish(_ prefix: String? = nil) -> String {
    var lines = ""
    for name in order where prefix == nil || prefix == name {
      var rest = (rests.updateValue([], forKey: name) ?? [])[...]
      if rest.last == 0x0D { rest.removeLast() }
      if !rest.isEmpty { lines += Self.line(name, rest, "\n") }
    }
    return lines
  }

  private static func line(_ prefix: String, _ bytes: ArraySlice<UInt8>, _ end: String) -> String {
    "\(prefix) \(String(decoding: bytes, as: UTF8.self))\(end)"
  }
}
