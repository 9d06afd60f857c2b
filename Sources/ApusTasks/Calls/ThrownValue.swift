public import ApusMessaging
public import ZeroMQ

/// How an error of a Swift task travels: as ipyparallel's error content, with the value itself beside it if it is `Codable`.
public enum ThrownValue {
  /// - Returns: the reply's content and buffers.
  public static func encode(_ error: any Error, engine: RemoteError.EngineInfo) -> (error: RemoteError, frames: [Frame]) {
    if let error = error as? RemoteError { return (error, []) }
    var remote = RemoteError(name: "\(Swift.type(of: error))", value: "\(error)", traceback: ["\(error)"], engine: engine)
    if let coded = error as? any Error & Codable, let name = TypeNames.name(of: Swift.type(of: coded)),
      let frames = try? MessagePackEncoder().encode(coded, outOfBand: EncodedCall.outOfBand)
    {
      remote.value = (error as? any CustomStringConvertible)?.description ?? "\(error)"
      remote.thrown = RemoteError.Thrown(type: name, frames: frames)
      return (remote, frames)
    }
    return (remote, [])
  }
}

extension RemoteError {
  /// What the task threw, where it is of a type that this program has too; `nil` otherwise.
  public var thrownValue: (any Error)? {
    guard let thrown, let type = TypeNames.type(named: thrown.type) as? any (Error & Codable).Type else { return nil }
    func value<E: Error & Codable>(_ type: E.Type) -> (any Error)? { try? MessagePackDecoder().decode(type, from: thrown.frames) }
    return value(type)
  }
}
