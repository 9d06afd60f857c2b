import ApusMessaging
import Glibc
import Testing

/// One of the cases that the stock Python client runs too: see Tests/semantics.
struct SemanticCase: Sendable, CustomTestStringConvertible {
  let json: JSONValue

  var name: String { json["name"]?.stringValue ?? "" }
  var testDescription: String { name }
  var engines: Int { json["engines"]?.intValue ?? 2 }
  var steps: [JSONValue] { json["steps"]?.arrayValue ?? [] }
  /// Members of an object of the case, or nothing.
  func members(_ key: String) -> [(key: String, value: JSONValue)] { json[key]?.objectValue?.members ?? [] }

  /// Where the cases are, and the module of their tasks.
  static let directory = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/semantics"

  static let all: [SemanticCase] = {
    guard let text = TextFile.read(directory + "/cases.json"), case .array(let cases)? = try? JSONValue(parsing: text) else {
      return []
    }
    return cases.map { SemanticCase(json: $0) }
  }()
}

/// Small files of a test.
enum TextFile {
  static func read(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += buffer[..<count]
    }
  }

  static func write(_ text: String, to path: String) {
    guard let file = fopen(path, "w") else { return }
    fputs(text, file)
    fclose(file)
  }
}
