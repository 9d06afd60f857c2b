import ApusMessaging
import ApusValues
public import Distributed
import Transport

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
    if MemoryLayout<Argument>.size == 0 {
      // Not sent, as `CallEncoder` says: without bits there is nothing that could be read wrongly. Only a generic function's caller
      // could name a type without values.
      guard Argument.self != Never.self else { throw TaskError(.malformed, "there are no values of the type Never") }
      return unsafeBitCast((), to: Argument.self)
    }
    guard !reader.isAtEnd else { throw TaskError(.malformed, "the call has too few arguments") }
    do { return try reader.next(Argument.self) } catch {
      throw TaskValue.unreadable(Argument.self, "an argument of the call", error)
    }
  }

  public mutating func decodeReturnType() throws -> (any Any.Type)? { nil }
  public mutating func decodeErrorType() throws -> (any Any.Type)? { nil }
}
