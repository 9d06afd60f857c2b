import CProgramImage

/// The program itself, as this process has it in memory: what a place in its code is measured from.
struct ProgramImage: Sendable {
  /// Added to the addresses of the file, other at each start.
  let base: UInt
  let code: Range<UInt>
  /// What is loaded of the file: code, constants, variables.
  let segments: [Range<UInt>]
  /// The linker's mark of this very build, in hexadecimal digits; empty if there is none.
  let buildID: String

  static let current: ProgramImage = {
    var image = apus_read_program_image()
    let digits = withUnsafeBytes(of: &image.build_id) { bytes in
      bytes.prefix(image.build_id_size).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }
    let segments = withUnsafeBytes(of: &image.segment_start) { starts in
      withUnsafeBytes(of: &image.segment_end) { ends in
        (0..<image.segment_count).map { index -> Range<UInt> in
          let offset = index * MemoryLayout<UInt>.stride
          let start = starts.load(fromByteOffset: offset, as: UInt.self)
          return start..<max(start, ends.load(fromByteOffset: offset, as: UInt.self))
        }
      }
    }
    return ProgramImage(
      base: image.base, code: image.code_start..<max(image.code_start, image.code_end), segments: segments, buildID: digits)
  }()

  /// Whether the address is that of an asynchronous function of the program: not of code, but of a constant that says where the code is (as a
  /// distance from the constant itself, 32 bits) and how much memory a call needs (32 bits).
  func isAsynchronousFunction(_ address: UInt) -> Bool {
    guard let segment = segments.first(where: { $0.contains(address) }), !segment.overlaps(code), segment.upperBound - address >= 8,
      let constant = UnsafeRawPointer(bitPattern: address)
    else { return false }
    let memory = constant.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    return memory >= 16 && memory < 1 << 20
      && code.contains(address &+ UInt(bitPattern: Int(constant.loadUnaligned(as: Int32.self))))
  }
}
