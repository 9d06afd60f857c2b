public import ApusMessaging
import ApusValues

extension RemoteError {
  /// An error of a Swift task as it travels: ipyparallel's error content, with the value itself beside it if it is `Codable`.
  init(thrown error: any Error, engine: EngineInfo) {
    if let error = error as? RemoteError {
      self = error
      return
    }
    self.init(name: "\(Swift.type(of: error))", value: "\(error)", traceback: ["\(error)"], engine: engine)
    if let coded = error as? any Error & Codable, let name = TypeNames.name(of: Swift.type(of: coded)),
      let frames = try? MessagePackEncoder().encode(coded, outOfBand: MessagePackCodec.outOfBand)
    {
      thrown = Thrown(type: name, frames: frames)
    }
  }

  /// What the task threw, where it is of a type that this program has too; `nil` otherwise.
  public var thrownValue: (any Error)? {
    guard let thrown, let type = TypeNames.type(named: thrown.type) as? any (Error & Codable).Type else { return nil }
    func value<E: Error & Codable>(_ type: E.Type) -> (any Error)? { try? MessagePackDecoder().decode(type, from: thrown.frames) }
    return value(type)
  }
}
