import Glibc
import Transport

/// Messages in a file that has no name, first in, first out: it is gone with this object, whatever becomes of the process.
final class Spool {
  private let descriptor: Int32
  private var readPosition = 0
  private var writePosition = 0

  /// Bytes that the file may have.
  private let limit: Int

  /// - Parameter limit: bytes after which it takes no more, as when the disk is full.
  /// - Returns: `nil` if no file can be made there.
  init?(in directory: String, limit: Int = .max) {
    self.limit = limit
    mkdir(directory, 0o700)
    let path = "\(directory)/spool-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { return nil }
    unlink(path)
  }

  deinit { close(descriptor) }

  var isEmpty: Bool { readPosition == writePosition }
  /// Bytes that wait.
  var bytes: Int { writePosition - readPosition }

  /// - Returns: false if the disk is full; nothing of the message stays then.
  func append(_ message: [Frame]) -> Bool {
    var head: [UInt8] = []
    for number in [message.count] + message.map(\.count) {
      withUnsafeBytes(of: UInt64(number).littleEndian) { head.append(contentsOf: $0) }
    }
    var position = writePosition
    guard message.reduce(position + head.count, { $0 + $1.count }) <= limit else { return false }
    guard head.withUnsafeBytes({ write($0, at: &position) }) else { return false }
    for frame in message { guard frame.withUnsafeBytes({ write($0, at: &position) }) else { return false } }
    writePosition = position
    return true
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at position: inout Int) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let count = pwrite(descriptor, rest.baseAddress, rest.count, position)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      position += count
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
    return true
  }

  /// - Returns: `nil` at the end, or if the file cannot be read, which ends it too.
  func next() -> [Frame]? {
    guard !isEmpty, let count = number(), let lengths = numbers(count) else {
      readPosition = writePosition
      return nil
    }
    var frames: [Frame] = []
    for length in lengths {
      guard let bytes = read(length) else {
        readPosition = writePosition
        return nil
      }
      frames.append(Frame(bytes))
    }
    if isEmpty {
      // What was read is given back to the disk.
      ftruncate(descriptor, 0)
      (readPosition, writePosition) = (0, 0)
    }
    return frames
  }

  private func number() -> Int? { numbers(1)?.first }

  private func numbers(_ count: Int) -> [Int]? {
    guard (0...1 << 20).contains(count), let bytes = read(8 * count) else { return nil }
    let numbers = bytes.withUnsafeBytes { raw in
      (0..<count).map { Int(exactly: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self))) ?? -1 }
    }
    return numbers.allSatisfy { (0...writePosition).contains($0) } ? numbers : nil
  }

  private func read(_ count: Int) -> [UInt8]? {
    var done = 0
    let start = readPosition
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while done < count {
        let got = pread(descriptor, buffer.baseAddress.map { $0 + done }, count - done, start + done)
        if got < 0, errno == EINTR { continue }
        guard got > 0 else { break }
        done += got
      }
      filled = done
    }
    guard done == count else { return nil }
    readPosition += count
    return bytes
  }
}
