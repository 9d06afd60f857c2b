import Crypto
import FoundationEssentials
public import Transport

/// The signature of a message between two of Apus's own parties: over its scope, the lengths and bytes of its dictionaries, and its buffers.
///
/// In the signature's frame: `s1`, an HMAC-SHA256 in hexadecimal, and for a message with buffers a nonce and a digest of them. The HMAC covers
/// these two, so a relay checks the message without reading the buffers, and whoever uses them checks the rest. The digest is a hash of
/// AES-256-GMACs, one for each buffer: 100 MB cost some 20 ms of it, where HMAC-SHA256 takes 70 and more.
enum Seal {
  static let mark = Array("s1".utf8)
  static let macEnd = 2 + 64
  static let nonceEnd = macEnd + 16
  static let fullSize = nonceEnd + 64

  /// Whether a signature is of this kind. A stock one is 64 characters long.
  static func isSeal(_ signature: Frame) -> Bool { signature.count == macEnd || signature.count == fullSize }
}

extension Signer {
  /// - Parameter buffersOf: a seal whose buffers these are, unchanged; `nil` reads them.
  public func seal(
    _ dictionaries: ArraySlice<Frame>, _ buffers: ArraySlice<Frame>, _ scope: MessageScope, buffersOf former: Frame? = nil
  ) -> Frame {
    guard isEnabled else { return .empty }
    var tail: [UInt8] = []
    if !buffers.isEmpty {
      if let former, former.count == Seal.fullSize {
        tail = former.withUnsafeBytes { Array($0[Seal.macEnd...]) }
      } else {
        var generator = SystemRandomNumberGenerator()
        let nonce = Self.hexadecimal(of: withUnsafeBytes(of: generator.next() as UInt64) { Array($0) })
        tail = nonce + digest(of: buffers, nonce: nonce)
      }
    }
    return Frame(Seal.mark + mac(dictionaries, tail, scope) + tail)
  }

  /// - Parameter readsBuffers: a relay, which only passes them on, need not.
  func verifySeal(
    _ signature: Frame, _ dictionaries: ArraySlice<Frame>, _ buffers: ArraySlice<Frame>, _ scope: MessageScope, readsBuffers: Bool
  )
    -> Bool
  {
    guard isEnabled else { return true }
    guard signature.count == (buffers.isEmpty ? Seal.macEnd : Seal.fullSize) else { return false }
    let bytes = signature.bytes
    let tail = Array(bytes[Seal.macEnd...])
    guard Array(bytes[..<2]) == Seal.mark, Self.areEqual(bytes[2..<Seal.macEnd], mac(dictionaries, tail, scope)[...]) else {
      return false
    }
    guard readsBuffers, !buffers.isEmpty else { return true }
    return Self.areEqual(tail[16...], digest(of: buffers, nonce: Array(tail[..<16]))[...])
  }

  /// The lengths keep the dictionaries apart: no byte can move from one to the next.
  private func mac(_ dictionaries: ArraySlice<Frame>, _ tail: [UInt8], _ scope: MessageScope) -> [UInt8] {
    var lengths: [UInt8] = []
    for part in dictionaries { withUnsafeBytes(of: UInt64(part.count).littleEndian) { lengths.append(contentsOf: $0) } }
    let parts = [scope.frame, Frame(lengths)] + dictionaries + [Frame(tail)]
    return Self.hexadecimal(of: digest(parts[...]).withUnsafeBytes { Array($0) })
  }

  private func digest(of buffers: ArraySlice<Frame>, nonce: [UInt8]) -> [UInt8] {
    var hash = SHA256()
    let seed = Self.binary(nonce)
    for (index, buffer) in buffers.enumerated() {
      buffer.withUnsafeBytes { bytes in
        let count = withUnsafeBytes(of: UInt32(truncatingIfNeeded: index).littleEndian) { Array($0) }
        // Twelve bytes that no other buffer of this key has.
        if let nonce = try? AES.GCM.Nonce(data: seed + count),
          let box = try? AES.GCM.seal([UInt8](), using: bufferKey, nonce: nonce, authenticating: bytes)
        {
          box.tag.withUnsafeBytes { hash.update(bufferPointer: $0) }
        }
        withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { hash.update(bufferPointer: $0) }
      }
    }
    return Self.hexadecimal(of: hash.finalize().withUnsafeBytes { Array($0) })
  }

  /// Eight bytes of sixteen digits; what is no digit counts as something, and the digest will differ.
  private static func binary(_ text: [UInt8]) -> [UInt8] {
    func value(_ digit: UInt8) -> UInt8 { (digit < 58 ? digit &- 48 : digit &- 87) & 15 }
    return stride(from: 0, to: text.count - 1, by: 2).map { value(text[$0]) << 4 | value(text[$0 + 1]) }
  }

  private static func hexadecimal(of bytes: [UInt8]) -> [UInt8] { bytes.flatMap { [digit($0 >> 4), digit($0 & 15)] } }

  /// In constant time for equal lengths.
  private static func areEqual(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
    guard a.count == b.count else { return false }
    var difference: UInt8 = 0
    for (x, y) in zip(a, b) { difference |= x ^ y }
    return difference == 0
  }
}
