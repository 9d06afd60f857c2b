public import Transport

/// The signatures seen last: a message whose signature is among them is a replay.
///
/// Remembers at least the newest `capacity` and at most twice as many: two tables take turns, and when the younger is full the older is
/// forgotten whole. ipyparallel keeps as many and drops a random tenth when full, which would forget fresh ones.
///
/// Only signatures that were verified get here, and those are uniformly random: 64 bits of one are its hash and its name. Of a thousand
/// million messages not one is taken for another's replay.
public struct ReplayHistory: Sendable {
  private var young = Table()
  private var old = Table()
  private let capacity: Int

  public init(capacity: Int = 65_536) { self.capacity = max(1, capacity) }

  /// - Returns: false if it had been recorded: the message is to be dropped.
  public mutating func record(_ signature: Frame) -> Bool {
    let name = Self.name(signature)
    if old.contains(name) { return false }
    guard young.insert(name) else { return false }
    if young.count >= capacity {
      swap(&young, &old)
      young.removeAll()
    }
    return true
  }

  /// Sixteen hexadecimal digits as one number, never 0. What is shorter is no signature and has a name all the same.
  private static func name(_ signature: Frame) -> UInt64 {
    signature.withUnsafeBytes { text in
      var value: UInt64 = 0
      // A seal begins with a mark that says nothing.
      let digits = text.count > 64 ? text[2..<18] : text[..<min(16, text.count)]
      for character in digits { value = value << 4 | UInt64(character < 58 ? character &- 48 : character &- 87) & 15 }
      return value == 0 ? 1 : value
    }
  }

  /// Open addressing over numbers that are random already; 0 is a free place. Grows with what is in it: an idle session costs nothing.
  private struct Table {
    private var places: [UInt64] = []
    private(set) var count = 0

    func contains(_ name: UInt64) -> Bool {
      if places.isEmpty { return false }
      let mask = places.count - 1
      var index = Int(truncatingIfNeeded: name) & mask
      while places[index] != 0 {
        if places[index] == name { return true }
        index = (index + 1) & mask
      }
      return false
    }

    /// - Returns: false if it was there.
    mutating func insert(_ name: UInt64) -> Bool {
      if 2 * (count + 1) > places.count { grow() }
      let mask = places.count - 1
      var index = Int(truncatingIfNeeded: name) & mask
      while places[index] != 0 {
        if places[index] == name { return false }
        index = (index + 1) & mask
      }
      places[index] = name
      count += 1
      return true
    }

    mutating func removeAll() {
      for index in places.indices { places[index] = 0 }
      count = 0
    }

    private mutating func grow() {
      let before = places
      places = [UInt64](repeating: 0, count: max(64, 2 * before.count))
      let mask = places.count - 1
      for name in before where name != 0 {
        var index = Int(truncatingIfNeeded: name) & mask
        while places[index] != 0 { index = (index + 1) & mask }
        places[index] = name
      }
    }
  }
}
