/// Numbers, text and lengths. Every function moves `position` behind what it read, and leaves it alone when it throws.
extension MessagePackReader {
  @inline(__always) func header(_ position: Int) throws(MessagePackError) -> UInt8 {
    guard position < bytes.count else { throw truncated(position) }
    return bytes[position]
  }

  /// A number of the wire: most significant byte first.
  @inline(__always)
  func big<I: FixedWidthInteger & BitwiseCopyable>(_ position: Int, _: I.Type) throws(MessagePackError) -> I {
    guard bytes.count &- position >= MemoryLayout<I>.size else { throw truncated(position) }
    return I(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: I.self))
  }

  func truncated(_ position: Int) -> MessagePackError { MessagePackError(.truncated, at: position, "the bytes end early") }

  func mismatch(_ position: Int, expected: String) -> MessagePackError {
    guard position < bytes.count else { return truncated(position) }
    guard bytes[position] != 0xC1 else { return MessagePackError(.reserved, at: position, "0xC1 starts no value") }
    return MessagePackError(.mismatch, at: position, "expected \(expected), found \(MessagePackFormat.name(of: bytes[position]))")
  }

  func isNil(_ position: inout Int) -> Bool {
    guard position < bytes.count, bytes[position] == 0xC0 else { return false }
    position += 1
    return true
  }

  func bool(_ position: inout Int) throws(MessagePackError) -> Bool {
    let header = try header(position)
    guard header == 0xC2 || header == 0xC3 else { throw mismatch(position, expected: "a Boolean") }
    position += 1
    return header == 0xC3
  }

  @inline(__always)
  func integer<I: FixedWidthInteger & BitwiseCopyable>(_ position: inout Int, _: I.Type) throws(MessagePackError) -> I {
    let header = try header(position)
    let value: I?
    let width: Int
    switch header {
    case 0x00...0x7F: (value, width) = (I(truncatingIfNeeded: header), 0)
    case 0xE0...0xFF: (value, width) = (I(exactly: Int8(bitPattern: header)), 0)
    case 0xCC: (value, width) = (I(exactly: try big(position &+ 1, UInt8.self)), 1)
    case 0xCD: (value, width) = (I(exactly: try big(position &+ 1, UInt16.self)), 2)
    case 0xCE: (value, width) = (I(exactly: try big(position &+ 1, UInt32.self)), 4)
    case 0xCF: (value, width) = (I(exactly: try big(position &+ 1, UInt64.self)), 8)
    case 0xD0: (value, width) = (I(exactly: try big(position &+ 1, Int8.self)), 1)
    case 0xD1: (value, width) = (I(exactly: try big(position &+ 1, Int16.self)), 2)
    case 0xD2: (value, width) = (I(exactly: try big(position &+ 1, Int32.self)), 4)
    case 0xD3: (value, width) = (I(exactly: try big(position &+ 1, Int64.self)), 8)
    default: throw mismatch(position, expected: "an integer")
    }
    guard let value else { throw MessagePackError(.outOfRange, at: position, "an integer that \(I.self) cannot hold") }
    position += 1 + width
    return value
  }

  func double(_ position: inout Int) throws(MessagePackError) -> Double {
    switch try header(position) {
    case 0xCB:
      let value = Double(bitPattern: try big(position + 1, UInt64.self))
      position += 9
      return value
    case 0xCA:
      let value = Double(Float(bitPattern: try big(position + 1, UInt32.self)))
      position += 5
      return value
    case 0xCF: return Double(try integer(&position, UInt64.self))
    case 0x00...0x7F, 0xE0...0xFF, 0xCC...0xCE, 0xD0...0xD3: return Double(try integer(&position, Int64.self))
    default: throw mismatch(position, expected: "a number")
    }
  }

  /// Python knows no other floating point numbers than `Double`: they are rounded. What is finite stays finite.
  func float(_ position: inout Int) throws(MessagePackError) -> Float {
    if try header(position) == 0xCA {
      let value = Float(bitPattern: try big(position + 1, UInt32.self))
      position += 5
      return value
    }
    var end = position
    let wide = try double(&end)
    let value = Float(wide)
    guard value.isFinite || !wide.isFinite else {
      throw MessagePackError(.outOfRange, at: position, "a number that Float cannot hold")
    }
    position = end
    return value
  }

  /// The bytes of a text, not yet looked at.
  @inline(__always) func textBytes(_ position: inout Int) throws(MessagePackError) -> UnsafeRawBufferPointer {
    let header = try header(position)
    let (count, width): (Int, Int)
    switch header {
    case 0xA0...0xBF: (count, width) = (Int(header & 0x1F), 0)
    case 0xD9: (count, width) = (Int(try big(position &+ 1, UInt8.self)), 1)
    case 0xDA: (count, width) = (Int(try big(position &+ 1, UInt16.self)), 2)
    case 0xDB: (count, width) = (Int(try big(position &+ 1, UInt32.self)), 4)
    default: throw mismatch(position, expected: "text")
    }
    let start = position &+ 1 &+ width
    guard count <= bytes.count &- start else { throw truncated(position) }
    position = start &+ count
    return UnsafeRawBufferPointer(rebasing: bytes[start..<start &+ count])
  }

  func text(_ position: inout Int) throws(MessagePackError) -> String {
    var end = position
    let utf8 = try textBytes(&end)
    let text: String
    if Self.isASCII(utf8) {
      text = String(decoding: utf8, as: UTF8.self)
    } else if let valid = String(validating: utf8.bindMemory(to: UInt8.self), as: UTF8.self) {
      text = valid
    } else {
      throw MessagePackError(.illFormedText, at: position, "text that is not UTF-8")
    }
    position = end
    return text
  }

  /// The validating initialiser is ten times as dear as this look at most texts.
  @inline(__always) static func isASCII(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var position = 0
    while position &+ 8 <= bytes.count {
      if bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 != 0 { return false }
      position &+= 8
    }
    while position < bytes.count {
      if bytes[position] & 0x80 != 0 { return false }
      position &+= 1
    }
    return true
  }

  /// Opens a container: its count of elements (a map: of pairs), with `position` at the first. There are at least as many bytes.
  func containerCount(_ position: inout Int, isMap: Bool) throws(MessagePackError) -> Int {
    let header = try header(position)
    let (count, width): (Int, Int)
    switch header {
    case 0x80...0x8F where isMap, 0x90...0x9F where !isMap: (count, width) = (Int(header & 0x0F), 0)
    case 0xDE where isMap, 0xDC where !isMap: (count, width) = (Int(try big(position + 1, UInt16.self)), 2)
    case 0xDF where isMap, 0xDD where !isMap: (count, width) = (Int(try big(position + 1, UInt32.self)), 4)
    default: throw mismatch(position, expected: isMap ? "a map" : "an array")
    }
    let start = position + 1 + width
    guard (isMap ? 2 * count : count) <= bytes.count - start else { throw truncated(position) }
    position = start
    return count
  }
}
