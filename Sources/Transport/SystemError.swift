import Glibc

/// A system call's refusal.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  public let code: Int32
  public init(_ code: Int32) { self.code = code }
  public var description: String { String(cString: strerror(code)) }
}
