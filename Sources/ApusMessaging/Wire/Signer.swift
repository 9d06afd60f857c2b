import Crypto
public import Transport

/// HMAC-SHA256 over the four dictionaries of a message, as lower-case hexadecimal (protocol section 2.2).
///
/// HMAC is written out (RFC 2104) over the hash, with both padded-key states prepared once: `HMAC<SHA256>` of the library takes three
/// more microseconds a message. The tests hold it against the library's and against RFC 4231.
public struct Signer: Sendable {
  private let inner: SHA256
  private let outer: SHA256
  /// For the buffers of sealed messages (`Seal`): another key, made of this one.
  let bufferKey: SymmetricKey
  /// Tells it from other keys of this process.
  let bufferKeyNumber: UInt64
  /// An empty key signs nothing and verifies nothing: `--no-secure`.
  public let isEnabled: Bool
  private static let blockSize = 64
  /// Messages up to this size are hashed from one piece of the stack.
  private static let smallMessage = 4096

  public init(key: [UInt8]) {
    isEnabled = !key.isEmpty
    var padded = key.count > Self.blockSize ? Array(SHA256.hash(data: key)) : key
    padded += [UInt8](repeating: 0, count: Self.blockSize - padded.count)
    var inner = SHA256()
    var outer = SHA256()
    padded.map { $0 ^ 0x36 }.withUnsafeBytes { inner.update(bufferPointer: $0) }
    padded.map { $0 ^ 0x5c }.withUnsafeBytes { outer.update(bufferPointer: $0) }
    self.inner = inner
    self.outer = outer
    var hash = inner
    Array("apus buffers".utf8).withUnsafeBytes { hash.update(bufferPointer: $0) }
    var last = outer
    hash.finalize().withUnsafeBytes { last.update(bufferPointer: $0) }
    let key = last.finalize()
    bufferKey = SymmetricKey(data: key)
    let number = key.withUnsafeBytes { Array(SHA256.hash(data: $0).prefix(8)) }
    bufferKeyNumber = number.reduce(0) { $0 << 8 | UInt64($1) }
  }

  public func sign(_ parts: ArraySlice<Frame>) -> Frame {
    guard isEnabled else { return .empty }
    return digest(parts).withUnsafeBytes { mac in
      withUnsafeTemporaryAllocation(byteCount: 2 * mac.count, alignment: 1) { text in
        for (index, byte) in mac.enumerated() {
          text[2 * index] = Self.digit(byte >> 4)
          text[2 * index + 1] = Self.digit(byte & 15)
        }
        return Frame(UnsafeRawBufferPointer(text))
      }
    }
  }

  /// In constant time for signatures of the right length. `true` where signing is off.
  public func verify(_ signature: Frame, _ parts: ArraySlice<Frame>) -> Bool {
    guard isEnabled else { return true }
    guard signature.count == 2 * SHA256.byteCount else { return false }
    return digest(parts).withUnsafeBytes { mac in
      signature.withUnsafeBytes { text in
        var difference: UInt8 = 0
        for (index, byte) in mac.enumerated() {
          difference |= text[2 * index] ^ Self.digit(byte >> 4)
          difference |= text[2 * index + 1] ^ Self.digit(byte & 15)
        }
        return difference == 0
      }
    }
  }

  func digest(_ parts: ArraySlice<Frame>) -> SHA256.Digest {
    var hash = inner
    var byteCount = 0
    for part in parts { byteCount += part.count }
    if byteCount <= Self.smallMessage {
      // One call for all of it: the hash takes longer to call than to compute.
      withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 1) { bytes in
        var end = 0
        for part in parts {
          part.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: bytes[end...]).copyMemory(from: $0) }
          end += part.count
        }
        hash.update(bufferPointer: UnsafeRawBufferPointer(bytes))
      }
    } else {
      for part in parts { part.withUnsafeBytes { hash.update(bufferPointer: $0) } }
    }
    var last = outer
    hash.finalize().withUnsafeBytes { last.update(bufferPointer: $0) }
    return last.finalize()
  }

  static func digit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 48 + nibble : 87 + nibble }
}
