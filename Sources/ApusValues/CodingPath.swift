/// The place of an error is found while it travels upwards, so that a value without errors does not pay for it.
enum CodingPath {
  static func located(_ error: any Error, at key: any CodingKey, type: Any.Type) -> any Error {
    switch error {
    case let error as MessagePackError: error.decodingError(type, path: [key])
    case let error as DecodingError: located(error, at: key)
    case EncodingError.invalidValue(let value, let context):
      EncodingError.invalidValue(
        value,
        .init(
          codingPath: [key] + context.codingPath, debugDescription: context.debugDescription,
          underlyingError: context.underlyingError))
    default: error
    }
  }

  private static func located(_ error: DecodingError, at key: any CodingKey) -> DecodingError {
    func outer(_ context: DecodingError.Context) -> DecodingError.Context {
      .init(
        codingPath: [key] + context.codingPath, debugDescription: context.debugDescription, underlyingError: context.underlyingError
      )
    }
    switch error {
    case .typeMismatch(let type, let context): return .typeMismatch(type, outer(context))
    case .valueNotFound(let type, let context): return .valueNotFound(type, outer(context))
    case .keyNotFound(let missing, let context): return .keyNotFound(missing, outer(context))
    case .dataCorrupted(let context): return .dataCorrupted(outer(context))
    @unknown default: return error
    }
  }
}

/// The place of an element of an array.
struct IndexKey: CodingKey {
  let index: Int

  init(_ index: Int) { self.index = index }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { self.index = intValue }
  var stringValue: String { "\(index)" }
  var intValue: Int? { index }
}
