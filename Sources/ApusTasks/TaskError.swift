/// Why a Swift task could not be sent, or could not be run where it arrived.
public struct TaskError: Error, Hashable, Sendable, CustomStringConvertible {
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    public let name: String
    public var description: String { name }

    /// The closure captures values, or is a function that the compiler wrapped.
    public static let captures = Code(name: "captures")
    /// The code is not in the program itself but in a library.
    public static let outsideProgram = Code(name: "outsideProgram")
    /// The engine runs another program, or another build of it.
    public static let otherBuild = Code(name: "otherBuild")
    /// The program has no mark of its build, or its closures are not what this version knows.
    public static let closuresUnsupported = Code(name: "closuresUnsupported")
    /// A type has no name that another process could find it by.
    public static let unnameable = Code(name: "unnameable")
    /// The engine's program lacks the task, a type of it, or the function.
    public static let unknownTask = Code(name: "unknownTask")
    /// The function is not one of this actor.
    public static let wrongActor = Code(name: "wrongActor")
    /// The actor is no proxy.
    public static let noRoute = Code(name: "noRoute")
    /// The call, its arguments or its result are not in the agreed form.
    public static let malformed = Code(name: "malformed")
    /// Nothing of this name was pushed to the engine.
    public static let unknownName = Code(name: "unknownName")
    /// The value cannot be written, or not be read as what was asked for.
    public static let badValue = Code(name: "badValue")
  }

  public let code: Code
  public let message: String
  /// What the caller can do, as a sentence.
  public let advice: String?

  public init(_ code: Code, _ message: String, advice: String? = nil) {
    self.code = code
    self.message = message
    self.advice = advice
  }

  public var description: String { advice.map { "\(message). \($0)" } ?? message }
}
