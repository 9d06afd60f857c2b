import ApusMessaging
public import Distributed
import ZeroMQ

/// Reads the arguments of a distributed actor's call.
public struct CallDecoder: DistributedTargetInvocationDecoder {
  public typealias SerializationRequirement = any Codable

  private let reader: MessagePackReader
  private let generics: [any Any.Type]

  init(_ arguments: [Frame], generics: [any Any.Type]) {
    reader = MessagePackReader(arguments)
    self.generics = generics
  }

  public mutating func decodeGenericSubstitutions() throws -> [any Any.Type] { generics }

  public mutating func decodeNextArgument<Argument: Codable>() throws -> Argument {
    guard !reader.isAtEnd else { throw TaskError(.malformed, "the call has too few arguments") }
    return try reader.next(Argument.self)
  }

  public mutating func decodeReturnType() throws -> (any Any.Type)? { nil }
  public mutating func decodeErrorType() throws -> (any Any.Type)? { nil }
}
