import ApusMessaging
import ApusValues
public import Transport

/// What is called, the first buffer of a request of the codec `msgpack` (docs/codecs.md, Calls). It is the same for all calls of a map, so
/// it is written once, and an engine knows it by its bytes.
struct CallHead: Codable, Sendable {
  /// `actor`, `closure`, `push`, `pull`; Python engines also have `apply`.
  var call: String
  /// Of an actor: the type's mangled name, the function's, and those of generic arguments.
  var type: String?
  var target: String?
  var generics: [String]?
  /// Of a closure: how it is called, where it is in the program, and which build that is.
  var shape: ClosureShape?
  var code: Int?
  var build: String?
  var shared: String?
  var input: String?
  var output: String?
  /// Of a pull.
  var names: [String]?

  init(_ call: String) { self.call = call }

  init(actor type: String, target: String, generics: [String] = []) {
    self.init("actor")
    self.type = type
    self.target = target
    if !generics.isEmpty { self.generics = generics }
  }

  func frame() throws -> Frame { Frame(try MessagePackEncoder().encode(self)) }
}

/// How a closure is called.
enum ClosureShape: String, Codable, Sendable {
  /// `() -> Output`
  case thunk
  /// `(Input) -> Output`
  case one
  /// `(Input) -> Output` for each of an array
  case each
  /// `(Shared, Input) -> Output` for each of an array
  case eachWithShared
}

/// A call in the form of the wire.
public struct EncodedCall: Sendable {
  public let head: Frame
  public let arguments: [Frame]

  public init(head: Frame, arguments: [Frame]) {
    self.head = head
    self.arguments = arguments
  }

  /// The request's buffers.
  public var buffers: [Frame] { [head] + arguments }
}

extension EncodedCall {
  /// Binds values in the engine's namespace.
  /// - Parameter values: a structure that is a map, name to value.
  public static func push(_ values: some Encodable) throws -> EncodedCall {
    EncodedCall(head: try pushHead.get(), arguments: try TaskValue.write(values, "the values to push"))
  }

  private static let pushHead = Result { try CallHead("push").frame() }

  /// Reads values of the engine's namespace; the result is an array of them.
  public static func pull(_ names: [String]) throws -> EncodedCall {
    var head = CallHead("pull")
    head.names = names
    return EncodedCall(head: try head.frame(), arguments: [])
  }
}
