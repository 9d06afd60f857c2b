/// The table of the format's first bytes.
enum MessagePackFormat {
  /// Bytes of the length behind the header; 0: the header says all.
  @inline(__always) static func lengthWidth(of header: UInt8) -> Int {
    switch header {
    case 0xC4, 0xC7, 0xD9: 1
    case 0xC5, 0xC8, 0xDA, 0xDC, 0xDE: 2
    case 0xC6, 0xC9, 0xDB, 0xDD, 0xDF: 4
    default: 0
    }
  }

  /// Bytes behind a header without a length; nil for the one that starts no value.
  @inline(__always) static func fixedBody(of header: UInt8) -> Int? {
    switch header {
    case 0xA0...0xBF: Int(header & 0x1F)
    case 0xCC, 0xD0: 1
    case 0xCD, 0xD1, 0xD4: 2
    case 0xD5: 3
    case 0xCA, 0xCE, 0xD2: 4
    case 0xD6: 5
    case 0xCB, 0xCF, 0xD3: 8
    case 0xD7: 9
    case 0xD8: 17
    case 0xC1: nil
    default: 0
    }
  }

  /// Values within a container whose count is in its header.
  @inline(__always) static func fixedElements(of header: UInt8) -> Int {
    switch header {
    case 0x80...0x8F: 2 * Int(header & 0x0F)
    case 0x90...0x9F: Int(header & 0x0F)
    default: 0
    }
  }

  static func name(of header: UInt8) -> String {
    switch header {
    case 0x00...0x7F, 0xCC...0xCF, 0xD0...0xD3, 0xE0...0xFF: "an integer"
    case 0x80...0x8F, 0xDE, 0xDF: "a map"
    case 0x90...0x9F, 0xDC, 0xDD: "an array"
    case 0xA0...0xBF, 0xD9...0xDB: "text"
    case 0xC0: "nil"
    case 0xC2, 0xC3: "a Boolean"
    case 0xC4...0xC6: "bytes"
    case 0xCA, 0xCB: "a floating point number"
    case 0xC7...0xC9, 0xD4...0xD8: "an extension or typed array"
    default: "a reserved byte"
    }
  }
}
