import ApusMessaging
import ApusValues
public import Transport

/// Reads and writes values of tasks, with errors that say which value it was.
public enum TaskValue {
  /// - Parameter what: for the error: `the result`.
  /// - Throws: `TaskError` `badValue`.
  public static func read<Value: Decodable>(
    _ type: Value.Type, from frames: some Sequence<Frame>, _ what: @autoclosure () -> String
  ) throws(TaskError) -> Value {
    do { return try MessagePackDecoder().decode(type, from: Array(frames)) } catch { throw unreadable(type, what(), error) }
  }

  /// - Throws: `TaskError` `badValue`.
  public static func write(_ value: some Encodable, _ what: @autoclosure () -> String) throws(TaskError) -> [Frame] {
    do { return try MessagePackEncoder().encode(value, outOfBand: MessagePackCodec.outOfBand) } catch {
      throw TaskError(.badValue, "\(what()) cannot be written: \(reason(error))")
    }
  }

  static func unreadable<Value>(_ type: Value.Type, _ what: String, _ error: any Error) -> TaskError {
    TaskError(
      .badValue, "\(what) cannot be read as \(type): \(reason(error))",
      advice: "Both sides must mean the same type, and the same version of it.")
  }

  /// What a coder complains about, and where, without its own name.
  static func reason(_ error: any Error) -> String {
    let (path, text): ([any CodingKey], String)
    switch error {
    case EncodingError.invalidValue(_, let context): (path, text) = (context.codingPath, context.debugDescription)
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
      DecodingError.dataCorrupted(let context):
      (path, text) = (context.codingPath, context.debugDescription)
    case DecodingError.keyNotFound(let key, let context):
      (path, text) = (context.codingPath, "there is no member \(key.stringValue)")
    default: return "\(error)"
    }
    let place = path.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return place.isEmpty ? text : "\(text) (at \(place))"
  }
}
