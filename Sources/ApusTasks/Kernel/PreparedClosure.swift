import ApusMessaging
import ApusValues
import Synchronization
import Transport

/// A closure of this very program.
enum PreparedClosure {
  /// - Throws: `TaskError` for what cannot be a closure of this build.
  static func make(_ head: CallHead) throws(TaskError) -> any PreparedCall {
    guard let shape = head.shape, let offset = head.code, let build = head.build, let output = head.output else {
      throw TaskError(.malformed, "the call of a closure lacks its place in the program")
    }
    let pointer = try CodePointer(offset: offset, build: build)
    let outputType = try type(output)
    if shape == .thunk { return thunk(pointer, outputType) }
    let inputType = try type(head.input)
    switch shape {
    case .thunk, .one: return one(pointer, inputType, outputType)
    case .each: return each(pointer, inputType, outputType)
    case .eachWithShared: return eachWithShared(pointer, try type(head.shared), inputType, outputType)
    }
  }

  private static func type(_ name: String?) throws(TaskError) -> any (Codable & Sendable).Type {
    guard let name else { throw TaskError(.malformed, "the call of a closure lacks the name of a type") }
    guard let type = TypeNames.type(named: name), let codable = type as? any (Codable & Sendable).Type else {
      throw TaskError(.unknownTask, "this engine's program has no Codable type \(name)")
    }
    return codable
  }

  private static func thunk<O: Codable & Sendable>(_ pointer: CodePointer, _: O.Type) -> any PreparedCall {
    ThunkCall<O>(work: pointer.function(as: Thunk<O>.self))
  }

  private static func one<I: Codable & Sendable, O: Codable & Sendable>(_ pointer: CodePointer, _: I.Type, _: O.Type)
    -> any PreparedCall
  {
    OneCall<I, O>(work: pointer.function(as: Work<I, O>.self))
  }

  private static func each<I: Codable & Sendable, O: Codable & Sendable>(_ pointer: CodePointer, _: I.Type, _: O.Type)
    -> any PreparedCall
  {
    EachCall<I, O>(work: pointer.function(as: Work<I, O>.self))
  }

  private static func eachWithShared<S: Codable & Sendable, I: Codable & Sendable, O: Codable & Sendable>(
    _ pointer: CodePointer, _: S.Type, _: I.Type, _: O.Type
  ) -> any PreparedCall {
    SharingCall<S, I, O>(work: pointer.function(as: SharingWork<S, I, O>.self))
  }

  fileprivate static func encode<Value: Encodable>(_ value: Value) throws -> [Frame] {
    do { return try MessagePackEncoder().encode(value, outOfBand: MessagePackCodec.outOfBand) } catch {
      throw TaskError(.badValue, "the result, a \(Value.self), cannot be written: \(error)")
    }
  }
}

private struct ThunkCall<O: Codable & Sendable>: PreparedCall {
  let work: Thunk<O>

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] { try PreparedClosure.encode(try await work()) }
}

private struct OneCall<I: Codable & Sendable, O: Codable & Sendable>: PreparedCall {
  let work: Work<I, O>

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    try PreparedClosure.encode(try await work(try TaskValue.read(I.self, from: arguments, "the argument of the closure")))
  }
}

private struct EachCall<I: Codable & Sendable, O: Codable & Sendable>: PreparedCall {
  let work: Work<I, O>

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    let items = try TaskValue.read([I].self, from: arguments, "the items of the map")
    var results: [O] = []
    results.reserveCapacity(items.count)
    for item in items {
      try Task.checkCancellation()
      results.append(try await work(item))
    }
    return try PreparedClosure.encode(results)
  }
}

private final class SharingCall<S: Codable & Sendable, I: Codable & Sendable, O: Codable & Sendable>: PreparedCall {
  private struct Last: Sendable {
    var frame = Frame.empty
    var value: S?
  }

  private let work: SharingWork<S, I, O>
  /// The shared value of a map comes with each of its messages, and is read once.
  private let last = Mutex(Last())

  init(work: @escaping SharingWork<S, I, O>) { self.work = work }

  func run(_ arguments: [Frame], in kernel: SwiftKernel) async throws -> [Frame] {
    guard let frame = arguments.first else { throw TaskError(.malformed, "the call lacks its shared value") }
    let shared = try shared(frame)
    let items = try TaskValue.read([I].self, from: arguments.dropFirst(), "the items of the map")
    var results: [O] = []
    results.reserveCapacity(items.count)
    for item in items {
      try Task.checkCancellation()
      results.append(try await work(shared, item))
    }
    return try PreparedClosure.encode(results)
  }

  private func shared(_ frame: Frame) throws -> S {
    if let value = last.withLock({ $0.frame == frame ? $0.value : nil }) { return value }
    let value = try TaskValue.read(S.self, from: [frame], "the shared value of the map")
    last.withLock { $0 = Last(frame: frame, value: value) }
    return value
  }
}
