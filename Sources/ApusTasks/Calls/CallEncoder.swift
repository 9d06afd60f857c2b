import ApusMessaging
import ApusValues
public import Distributed
import Transport

/// Writes the arguments of a distributed actor's call, one value behind the other.
public struct CallEncoder: DistributedTargetInvocationEncoder {
  public typealias SerializationRequirement = any Codable

  private let writer = MessagePackWriter(outOfBand: MessagePackCodec.outOfBand)
  private(set) var generics: [String] = []

  init() {}

  public mutating func recordGenericSubstitution<T>(_ type: T.Type) throws {
    guard let name = TypeNames.name(of: type) else {
      throw TaskError(.unnameable, "\(type) has no name that an engine could find it by", advice: "Declare it at the top level.")
    }
    generics.append(name)
  }

  public mutating func recordArgument<Value: Codable>(_ argument: RemoteCallArgument<Value>) throws {
    // A value of no size is the only one of its type, and the receiver's runtime does not always ask for it: it is not sent.
    guard MemoryLayout<Value>.size > 0 else { return }
    do { try writer.append(argument.value) } catch {
      throw TaskError(.badValue, "the argument \(argument.effectiveLabel) cannot be written: \(error)")
    }
  }

  public mutating func recordReturnType<R: Codable>(_ type: R.Type) throws {}
  public mutating func recordErrorType<E: Error>(_ type: E.Type) throws {}
  public mutating func doneRecording() throws {}

  func frames() throws -> [Frame] { try writer.frames() }
}
