import Glibc

/// What a small frame does not have in common with the one at the same place of the message before. Headers and metadata of one client's messages
/// differ in a number and a time: a tenth of their bytes.
///
/// As bytes: steps of three numbers of two bytes each, little-endian: how many bytes are as they were, how many that were follow in their place, how
/// many own ones, which are behind the numbers. What is left of the frame before is not taken.
enum FrameDifference {
  /// Less is not worth it.
  static let smallest = 32
  private static let stepSize = 6
  /// Bytes in a row that are as they were end a step: fewer take less than the numbers of another one.
  private static let word = 8

  /// Appends the difference, where it is a good deal shorter than the frame.
  /// - Parameters:
  ///   - new: of less than 64 KiB, as `old`.
  ///   - buffer: as it was where the answer is false.
  /// - Returns: whether it has done so.
  static func append(of new: UnsafeRawBufferPointer, from old: UnsafeRawBufferPointer, to buffer: inout [UInt8]) -> Bool {
    guard let mine = new.baseAddress, let former = old.baseAddress else { return false }
    let limit = buffer.count + new.count / 2
    let before = buffer.count
    // What follows is compared with as much less or more in front of it; where both are of one length, at the same place.
    let tail = new.count == old.count ? 0 : commonEnd(new, old)
    let count = new.count - tail
    let formerCount = old.count - tail
    var place = 0
    repeat {
      let start = place
      place = end(ofSameFrom: place, mine, former, min(count, formerCount))
      let same = place - start
      let changed = place
      let dropped: Int
      if new.count == old.count {
        place = end(ofDifferentFrom: place, mine, former, count)
        dropped = place - changed
      } else {
        place = count
        dropped = formerCount - changed
      }
      guard buffer.count + stepSize + place - changed < limit else {
        buffer.removeSubrange(before...)
        return false
      }
      append(same, dropped, UnsafeRawBufferPointer(rebasing: new[changed..<place]), to: &buffer)
    } while place < count
    if tail > 0 { append(tail, 0, UnsafeRawBufferPointer(start: nil, count: 0), to: &buffer) }
    return true
  }

  /// Calls with the parts of the frame, one after another.
  /// - Parameter old: the frame before; valid while this runs.
  /// - Returns: false for what is no difference from that.
  static func read(_ difference: UnsafeRawBufferPointer, from old: UnsafeRawBufferPointer, _ part: (UnsafeRawBufferPointer) -> Void)
    -> Bool
  {
    var place = 0
    var formerPlace = 0
    while place < difference.count {
      guard difference.count - place >= stepSize else { return false }
      let (same, dropped, own) = (number(place, difference), number(place + 2, difference), number(place + 4, difference))
      place += stepSize
      guard own <= difference.count - place, same + dropped <= old.count - formerPlace else { return false }
      part(UnsafeRawBufferPointer(rebasing: old[formerPlace..<formerPlace + same]))
      part(UnsafeRawBufferPointer(rebasing: difference[place..<place + own]))
      formerPlace += same + dropped
      place += own
    }
    return true
  }

  private static func append(_ same: Int, _ dropped: Int, _ own: UnsafeRawBufferPointer, to buffer: inout [UInt8]) {
    let numbers = (UInt16(same).littleEndian, UInt16(dropped).littleEndian, UInt16(own.count).littleEndian)
    withUnsafeBytes(of: numbers) { buffer.append(contentsOf: $0) }
    buffer.append(contentsOf: own)
  }

  private static func number(_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
    Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }

  private static func isSame(_ offset: Int, _ a: UnsafeRawPointer, _ b: UnsafeRawPointer) -> Bool {
    a.loadUnaligned(fromByteOffset: offset, as: UInt64.self) == b.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  private static func end(ofSameFrom start: Int, _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Int {
    var place = start
    while place + word <= count, isSame(place, a, b) { place += word }
    while place < count, a.load(fromByteOffset: place, as: UInt8.self) == b.load(fromByteOffset: place, as: UInt8.self) {
      place += 1
    }
    return place
  }

  private static func end(ofDifferentFrom start: Int, _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Int {
    var place = start
    while place + word <= count, !isSame(place, a, b) { place += 1 }
    return place + word <= count ? place : count
  }

  /// How many bytes at the end of both are the same, beyond those that are at the beginning of both.
  private static func commonEnd(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let shorter = min(a.count, b.count)
    var beginning = 0
    while beginning < shorter, a[beginning] == b[beginning] { beginning += 1 }
    var count = 0
    while count < shorter - beginning, a[a.count - 1 - count] == b[b.count - 1 - count] { count += 1 }
    return count
  }
}
