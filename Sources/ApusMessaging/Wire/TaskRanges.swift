import Glibc

/// Ids of many tasks in few bytes.
///
/// A client numbers its messages, and what an engine gets together was mostly sent together: `<session>_<pid>_<number>` is written once for all, with the
/// ranges of its numbers. Other ids stand as they are.
public struct TaskRanges: Sendable, Hashable {
  private struct Run: Sendable, Hashable {
    let prefix: String
    var first: Int
    var last: Int
  }

  private var runs: [Run] = []
  private var others: [MessageID] = []
  /// More than any sender says at once: what a message asks for is bounded.
  public static let most = 1 << 20
  private static let longestPrefix = 256

  /// Concrete on purpose: a generic initialiser is not specialised across modules.
  public init(_ ids: [MessageID]) {
    // The prefix of the last run.
    var prefix: [UInt8] = []
    for id in ids {
      var text = id.text
      if !text.withUTF8({ append($0, &prefix) }) { others.append(id) }
    }
  }

  /// - Returns: false for what stands as it is.
  private mutating func append(_ id: UnsafeBufferPointer<UInt8>, _ prefix: inout [UInt8]) -> Bool {
    guard let (length, number) = Self.split(id) else { return false }
    let hasPrefix = id.baseAddress.map { prefix.count == length && memcmp(prefix, $0, length) == 0 } ?? false
    if let last = runs.indices.last, hasPrefix {
      if runs[last].last + 1 == number {
        runs[last].last = number
      } else {
        runs.append(Run(prefix: runs[last].prefix, first: number, last: number))
      }
    } else {
      prefix = Array(id.prefix(length))
      runs.append(Run(prefix: String(decoding: id.prefix(length), as: UTF8.self), first: number, last: number))
    }
    return true
  }

  /// - Parameter numbers: at least 0, each behind the prefix.
  public init(_ prefix: String, _ numbers: some Sequence<Int>) {
    for number in numbers {
      if let last = runs.indices.last, runs[last].last + 1 == number {
        runs[last].last = number
      } else {
        runs.append(Run(prefix: prefix, first: number, last: number))
      }
    }
  }

  /// - Parameter content: what `content` has made; anything else in it is passed over.
  public init(_ content: JSONObject) {
    others = (content["msg_ids"]?.stringArrayValue ?? []).map { MessageID($0) }
    var count = others.count
    for run in content["ranges"]?.arrayValue ?? [] {
      guard let parts = run.arrayValue, parts.count == 3, let prefix = parts[0].stringValue, let first = parts[1].intValue,
        let length = parts[2].intValue, prefix.utf8.count <= Self.longestPrefix, first >= 0, (1...Self.most).contains(length),
        first <= Int.max - length
      else { continue }
      count += length
      guard count <= Self.most else { break }
      runs.append(Run(prefix: prefix, first: first, last: first + length - 1))
    }
  }

  public var content: JSONObject {
    var content = JSONObject()
    if !others.isEmpty { content["msg_ids"] = JSONValue(others.map(\.text)) }
    if !runs.isEmpty {
      content["ranges"] = .array(runs.map { [.string($0.prefix), .int($0.first), .int($0.last - $0.first + 1)] })
    }
    return content
  }

  /// Those of one prefix together, in their order.
  public var ids: [MessageID] {
    var ids = others
    for run in runs { for number in run.first...run.last { ids.append(MessageID(run.prefix + String(number))) } }
    return ids
  }

  /// - Returns: how long the prefix is, and the number; `nil` where putting the two together would not give the same text.
  private static func split(_ id: UnsafeBufferPointer<UInt8>) -> (Int, Int)? {
    var start = id.count
    var number = 0
    var power = 1
    while start > 0, id.count - start < 16, (48...57).contains(id[start - 1]) {
      start -= 1
      number += power * Int(id[start] - 48)
      power *= 10
    }
    let digits = id.count - start
    guard digits > 0, (1...longestPrefix).contains(start), id[start] != 48 || digits == 1 else { return nil }
    return (start, number)
  }
}
