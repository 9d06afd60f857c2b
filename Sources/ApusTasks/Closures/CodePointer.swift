/// A closure without captures, as a place in the program that client and engine both run.
///
/// Swift does not document what a function value looks like. This file is the only one that relies on it: two words, the address of the
/// function and the captured values, where the second is zero if there are none. `selfTest` looks whether that is so before anything is sent
/// or called, and every address is checked to lie in the program's code.
struct CodePointer: Hashable, Sendable {
  /// From the program's base, in bytes.
  let offset: Int

  /// - Parameter function: a value of an asynchronous function type whose parameters and result are generic where it is passed on.
  /// - Throws: `TaskError`: `captures`, `outsideProgram`, `closuresUnsupported`.
  init<Function>(_ function: Function) throws(TaskError) {
    try Self.requireSupport()
    let (code, context) = Self.words(of: function)
    guard context == 0 else {
      throw TaskError(
        .captures, "the closure captures values, or is a function that the compiler wrapped, and cannot run in another process",
        advice: "Pass values with `with:`, and call a function in braces: { square($0) }.")
    }
    let image = ProgramImage.current
    guard image.isAsynchronousFunction(code) else {
      throw TaskError(
        .outsideProgram, "the closure is in a library that is linked dynamically, and cannot be found in another process",
        advice: "Link the library statically, or write a RemoteTask actor.")
    }
    offset = Int(bitPattern: code &- image.base)
  }

  /// A place that another process named.
  /// - Parameter build: the mark of its program.
  init(offset: Int, build: String) throws(TaskError) {
    try Self.requireSupport()
    guard build == ProgramImage.current.buildID else {
      throw TaskError(
        .otherBuild, "this engine runs another program than the client, or another build of it",
        advice: "Start client and engine from the same executable; between two programs use RemoteTask actors.")
    }
    guard ProgramImage.current.isAsynchronousFunction(ProgramImage.current.base &+ UInt(bitPattern: offset)) else {
      throw TaskError(.malformed, "a closure's address is none of the program's functions")
    }
    self.offset = offset
  }

  /// The function again. Its type must be the one that it was taken from: the caller has compared the build and the types' names.
  func function<Function>(as type: Function.Type) -> Function {
    var words = (ProgramImage.current.base &+ UInt(bitPattern: offset), UInt(0))
    return withUnsafeBytes(of: &words) { $0.load(as: Function.self) }
  }

  // MARK: the test

  private static func words<Function>(of function: Function) -> (code: UInt, context: UInt) {
    withUnsafeBytes(of: function) { ($0.load(as: UInt.self), $0.load(fromByteOffset: MemoryLayout<UInt>.size, as: UInt.self)) }
  }

  private static func requireSupport() throws(TaskError) { if let refusal { throw refusal } }

  /// Why closures cannot be sent by this program; `nil` if they can.
  static let refusal: TaskError? = selfTest()

  private static func selfTest() -> TaskError? {
    guard !ProgramImage.current.buildID.isEmpty, !ProgramImage.current.code.isEmpty else {
      return TaskError(
        .closuresUnsupported, "the program has no build id, so an engine could not be told from another build of it",
        advice: "Link it with -Xlinker --build-id, or write RemoteTask actors.")
    }
    let unknown = TaskError(
      .closuresUnsupported, "this compiler's function values are not made as this version of Apus knows them",
      advice: "Write RemoteTask actors instead of closures.")
    return test({ $0 &* 3 &+ 1 }, captured: Int.random(in: 2...9)) ? nil : unknown
  }

  /// Generic, as all closures here are: the compiler passes others in another form.
  private static func test<Value: Sendable>(_ plain: @escaping Work<Value, Value>, captured: Value) -> Bool {
    guard MemoryLayout<Work<Value, Value>>.size == 2 * MemoryLayout<UInt>.size else { return false }
    let (code, context) = words(of: plain)
    guard context == 0, ProgramImage.current.isAsynchronousFunction(code) || !isProgramOwn else { return false }
    // One that captures must show it.
    let capturing: Work<Value, Value> = { _ in captured }
    guard words(of: capturing).context != 0 else { return false }
    // And the words must make the same function again.
    var raw = (code, UInt(0))
    let rebuilt = withUnsafeBytes(of: &raw) { $0.load(as: Work<Value, Value>.self) }
    return words(of: rebuilt) == (code, 0)
  }

  /// Whether this module is part of the program; as a dynamic library its own closures prove nothing about addresses.
  private static let isProgramOwn: Bool = {
    let function: @convention(c) () -> Void = {}
    return ProgramImage.current.code.contains(UInt(bitPattern: unsafeBitCast(function, to: Int.self)))
  }()
}
