import ApusMessaging
import ApusValues

extension ClientError.Code {
  /// What came back is not of the type that was asked for.
  public static let resultType = ClientError.Code("resultType")
}

/// A Python call's reply as a Swift value.
enum PythonResult {
  /// - Parameter name: of what was called, for errors.
  static func decode<Value: Decodable>(_ type: Value.Type, _ reply: TaskReply, of name: String) throws -> Value {
    do { return try MessagePackDecoder().decode(type, from: Array(reply.buffers)) } catch let error as DecodingError {
      throw ClientError(
        .resultType, "\(name) gave no \(type): \(reason(error))",
        advice: "Ask for a type that can hold what Python returns, or convert it there.")
    }
  }

  private static func reason(_ error: DecodingError) -> String {
    let context: DecodingError.Context
    switch error {
    case .typeMismatch(_, let found), .valueNotFound(_, let found), .dataCorrupted(let found): context = found
    case .keyNotFound(let key, let found):
      return "no member \(key.stringValue)\(place(found.codingPath))"
    @unknown default: return "\(error)"
    }
    return context.debugDescription + place(context.codingPath)
  }

  private static func place(_ path: [any CodingKey]) -> String {
    let text = path.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return text.isEmpty ? "" : " (at \(text))"
  }
}

/// The replies of all, in order; the first failure cancels the others.
func allReplies(of tasks: TaskSet) async throws -> [TaskReply] {
  do { return try await tasks.replies } catch {
    tasks.cancel()
    throw error
  }
}

/// The values of all, in order; the first failure cancels the others.
func values<Value: Sendable>(ofAll results: [AsyncResult<Value>]) async throws -> [Value] {
  do {
    var values: [Value] = []
    values.reserveCapacity(results.count)
    for result in results { values.append(try await result.value) }
    return values
  } catch {
    for result in results { result.cancel() }
    throw error
  }
}
