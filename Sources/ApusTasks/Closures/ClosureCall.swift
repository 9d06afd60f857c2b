import ApusMessaging
import ApusValues
public import Transport

/// A closure that takes a value and gives one.
public typealias Work<Input, Output> = @Sendable (Input) async throws -> Output
/// A closure that takes a value that all calls share, and one of its own.
public typealias SharingWork<Shared, Input, Output> = @Sendable (Shared, Input) async throws -> Output
/// A closure that takes nothing.
public typealias Thunk<Output> = @Sendable () async throws -> Output

/// A closure without captures on its way to engines of the same program: the head of its calls, and the form of their arguments.
public struct ClosureCall<Input: Codable & Sendable, Output: Codable & Sendable>: Sendable {
  private let head: Frame
  /// What comes before the items: the shared value, encoded once.
  private let leading: [Frame]

  /// Calls for each of an array of items; the result is an array.
  /// - Throws: `TaskError` for closures that cannot run elsewhere.
  public init(each work: @escaping Work<Input, Output>) throws {
    let pointer = try CodePointer(work)
    head = try Self.head(.each, pointer, input: Input.self, output: Output.self)
    leading = []
  }

  /// As above, with a value that travels once with each message instead of being captured.
  public init<Shared: Codable & Sendable>(sharing shared: Shared, each work: @escaping SharingWork<Shared, Input, Output>) throws {
    let pointer = try CodePointer(work)
    head = try Self.head(.eachWithShared, pointer, input: Input.self, output: Output.self, shared: Shared.self)
    do { leading = [Frame(try MessagePackEncoder().encode(shared))] } catch {
      throw TaskError(.badValue, "the shared value, a \(Shared.self), cannot be written: \(error)")
    }
  }

  public func call(_ items: [Input]) throws -> EncodedCall {
    do {
      return EncodedCall(
        head: head, arguments: leading + (try MessagePackEncoder().encode(items, outOfBand: MessagePackCodec.outOfBand)))
    } catch { throw TaskError(.badValue, "the items, \(Input.self), cannot be written: \(error)") }
  }

  /// - Parameter frames: the result of such a call.
  public static func results(_ frames: ArraySlice<Frame>) throws -> [Output] {
    try TaskValue.read([Output].self, from: frames, "the result of the closure")
  }

  /// A single call.
  public static func single(_ work: @escaping Work<Input, Output>, _ input: Input) throws -> EncodedCall {
    let head = try head(.one, try CodePointer(work), input: Input.self, output: Output.self)
    do {
      return EncodedCall(head: head, arguments: try MessagePackEncoder().encode(input, outOfBand: MessagePackCodec.outOfBand))
    } catch {
      throw TaskError(.badValue, "the argument, a \(Input.self), cannot be written: \(error)")
    }
  }

  fileprivate static func head(
    _ shape: ClosureShape, _ pointer: CodePointer, input: (any Any.Type)?, output: any Any.Type, shared: (any Any.Type)? = nil
  ) throws -> Frame {
    func name(_ type: any Any.Type) throws(TaskError) -> String {
      if let name = TypeNames.name(of: type) { return name }
      throw TaskError(.unnameable, "\(type) has no name that an engine could find it by", advice: "Declare it at the top level.")
    }
    var head = CallHead("closure")
    head.shape = shape
    head.code = pointer.offset
    head.build = ProgramImage.current.buildID
    head.input = try input.map(name)
    head.output = try name(output)
    head.shared = try shared.map(name)
    return try head.frame()
  }
}

extension ClosureCall where Input == Never {
  /// A call without arguments.
  public static func thunk(_ work: @escaping Thunk<Output>) throws -> EncodedCall {
    EncodedCall(head: try head(.thunk, try CodePointer(work), input: nil, output: Output.self), arguments: [])
  }
}
