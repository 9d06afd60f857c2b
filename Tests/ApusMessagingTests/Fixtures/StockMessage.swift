import Testing
import Transport

/// A message that a stock client sent or received, with all its frames.
struct StockMessage: Sendable, CustomTestStringConvertible {
  let direction: String
  let type: String
  let frames: [Frame]

  init(_ direction: String, _ type: String, _ hexadecimal: String) {
    self.direction = direction
    self.type = type
    frames = hexadecimal.split(whereSeparator: \.isNewline).joined().split(separator: ",", omittingEmptySubsequences: false).map {
      digits in
      let digits = digits.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 }
      return Frame(stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] })
    }
  }

  var testDescription: String { "\(type), \(direction)" }
}
