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

  public init(_ ids: some Sequence<MessageID>) {
    for id in ids {
      guard let (prefix, number) = Self.split(id.text) else {
        others.append(id)
        continue
      }
      if let last = runs.indices.last, runs[last].last + 1 == number, runs[last].prefix == prefix {
        runs[last].last = number
      } else {
        runs.append(Run(prefix: String(prefix), first: number, last: number))
      }
    }
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

  /// - Returns: `nil` where putting the two together would not give the same text.
  private static func split(_ text: String) -> (Substring, Int)? {
    let bytes = text.utf8
    var start = bytes.endIndex
    var number = 0
    var power = 1
    var digits = 0
    while start > bytes.startIndex, digits < 16 {
      let before = bytes.index(before: start)
      let byte = bytes[before]
      guard (48...57).contains(byte) else { break }
      number += power * Int(byte - 48)
      power *= 10
      digits += 1
      start = before
    }
    guard digits > 0, text.utf8.count - digits <= longestPrefix, start > bytes.startIndex, bytes[start] != 48 || digits == 1 else {
      return nil
    }
    return (text[..<start], number)
  }
}
