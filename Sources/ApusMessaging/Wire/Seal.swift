import Crypto
import FoundationEssentials
public import Transport

/// The signature of a message between two of Apus's own parties: over its scope, the lengths and bytes of its dictionaries, and its buffers.
///
/// In the signature's frame: `s1`, an HMAC-SHA256 in hexadecimal, and for a message with buffers a nonce and a digest of them. The HMAC covers
/// these two, so a relay checks the message without reading the buffers, and whoever uses them checks the rest. The digest is a hash of
/// AES-256-GMACs, one for each buffer: 100 MB cost some 20 ms of it, where HMAC-SHA256 takes 70 and more.
///
/// A buffer that is shared memory goes with many messages, as the data of a function does: its GMAC is computed once. So it has a nonce of its
/// own, which follows behind its index.
enum Seal {
  static let mark = Array("s1".utf8)
  static let macEnd = 2 + 64
  static let nonceEnd = macEnd + 16
  static let fullSize = nonceEnd + 64
  /// Of a buffer with its own nonce: eight digits of its index, 24 of the nonce.
  static let ownSize = 8 + 24

  /// Whether a signature is of this kind. A stock one is 64 characters long.
  static func isSeal(_ signature: Frame) -> Bool { signature.count == macEnd || isFull(signature) }

  /// Whether it is one of a message with buffers.
  static func isFull(_ signature: Frame) -> Bool {
    signature.count >= fullSize && (signature.count - fullSize) % ownSize == 0
  }
}

extension Signer {
  /// - Parameter buffersOf: a seal whose buffers these are, unchanged; `nil` reads them.
  public func seal(
    _ dictionaries: ArraySlice<Frame>, _ buffers: ArraySlice<Frame>, _ scope: MessageScope, buffersOf former: Frame? = nil
  ) -> Frame {
    guard isEnabled else { return .empty }
    var tail: [UInt8] = []
    if !buffers.isEmpty {
      if let former, Seal.isFull(former) {
        tail = former.withUnsafeBytes { Array($0[Seal.macEnd...]) }
      } else {
        var generator = SystemRandomNumberGenerator()
        let nonce = Self.hexadecimal(of: withUnsafeBytes(of: generator.next() as UInt64) { Array($0) })
        var own: [UInt8] = []
        var hash = SHA256()
        for (index, buffer) in buffers.enumerated() {
          if let (nonce, tag) = ownTag(of: buffer) {
            own += Self.hexadecimal(of: withUnsafeBytes(of: UInt32(truncatingIfNeeded: index).bigEndian) { Array($0) })
            own += Self.hexadecimal(of: Array(nonce))
            Self.add(Array(tag), of: buffer, to: &hash)
          } else {
            Self.add(tag(of: buffer, Self.nonce(nonce, index)), of: buffer, to: &hash)
          }
        }
        tail = nonce + Self.hexadecimal(of: hash.finalize().withUnsafeBytes { Array($0) }) + own
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
    guard buffers.isEmpty ? signature.count == Seal.macEnd : Seal.isFull(signature) else { return false }
    let bytes = signature.bytes
    let tail = Array(bytes[Seal.macEnd...])
    guard Array(bytes[..<2]) == Seal.mark, Self.areEqual(bytes[2..<Seal.macEnd], mac(dictionaries, tail, scope)[...]) else {
      return false
    }
    guard readsBuffers, !buffers.isEmpty else { return true }
    let end = Seal.fullSize - Seal.macEnd
    return Self.areEqual(tail[16..<end], digest(of: buffers, nonce: Array(tail[..<16]), own: tail[end...])[...])
  }

  /// The lengths keep the dictionaries apart: no byte can move from one to the next.
  private func mac(_ dictionaries: ArraySlice<Frame>, _ tail: [UInt8], _ scope: MessageScope) -> [UInt8] {
    var lengths: [UInt8] = []
    for part in dictionaries { withUnsafeBytes(of: UInt64(part.count).littleEndian) { lengths.append(contentsOf: $0) } }
    let parts = [scope.frame, Frame(lengths)] + dictionaries + [Frame(tail)]
    return Self.hexadecimal(of: digest(parts[...]).withUnsafeBytes { Array($0) })
  }

  /// - Parameter own: indices and nonces of the buffers that have one.
  private func digest(of buffers: ArraySlice<Frame>, nonce: [UInt8], own: ArraySlice<UInt8>) -> [UInt8] {
    var nonces: [UInt32: [UInt8]] = [:]
    for start in stride(from: own.startIndex, to: own.endIndex, by: Seal.ownSize) {
      let index = Self.binary(Array(own[start..<start + 8])).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
      nonces[index] = Self.binary(Array(own[start + 8..<start + Seal.ownSize]))
    }
    var hash = SHA256()
    for (index, buffer) in buffers.enumerated() {
      let nonce = nonces[UInt32(truncatingIfNeeded: index)] ?? Self.nonce(nonce, index)
      Self.add(tag(of: buffer, nonce), of: buffer, to: &hash)
    }
    return Self.hexadecimal(of: hash.finalize().withUnsafeBytes { Array($0) })
  }

  private static func add(_ tag: [UInt8], of buffer: Frame, to hash: inout SHA256) {
    tag.withUnsafeBytes { hash.update(bufferPointer: $0) }
    withUnsafeBytes(of: UInt64(buffer.count).littleEndian) { hash.update(bufferPointer: $0) }
  }

  /// Twelve bytes that no other buffer of this key has.
  private static func nonce(_ seed: [UInt8], _ index: Int) -> [UInt8] {
    binary(seed) + withUnsafeBytes(of: UInt32(truncatingIfNeeded: index).littleEndian) { Array($0) }
  }

  private func tag(of buffer: Frame, _ nonce: [UInt8]) -> [UInt8] {
    buffer.withUnsafeBytes { bytes in
      guard let nonce = try? AES.GCM.Nonce(data: nonce),
        let box = try? AES.GCM.seal([UInt8](), using: bufferKey, nonce: nonce, authenticating: bytes)
      else { return [] }
      return box.tag.withUnsafeBytes { Array($0) }
    }
  }

  /// Nonce and GMAC of a buffer that nobody can change.
  private func ownTag(of buffer: Frame) -> (nonce: ArraySlice<UInt8>, tag: ArraySlice<UInt8>)? {
    guard let memory = buffer.sharedMemory else { return nil }
    let both = memory.noted(by: bufferKeyNumber) {
      var generator = SystemRandomNumberGenerator()
      let nonce = (0..<12).map { _ in UInt8.random(in: 0...255, using: &generator) }
      return nonce + tag(of: buffer, nonce)
    }
    return (both[..<12], both[12...])
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
