/// The name of an actor: its type, and for a proxy the way that its calls take.
public struct TaskActorID: Hashable, Sendable, CustomStringConvertible {
  /// The type's mangled name, by which an engine finds it.
  public let typeName: String
  /// `nil` for an actor that lives in this process.
  let route: CallRoute?
  /// Tells local actors of one type apart.
  let serial: Int

  init(typeName: String, route: CallRoute?, serial: Int = 0) {
    self.typeName = typeName
    self.route = route
    self.serial = serial
  }

  public var description: String { route.map { "\(typeName) by way of \($0.name)" } ?? "\(typeName) #\(serial)" }
}

/// The way of a proxy's calls: a view, in a form that this module need not know.
public final class CallRoute: Hashable, Sendable {
  /// For people: `the load-balanced view`, `engine 3`.
  public let name: String
  let call: @Sendable (EncodedCall) async throws -> ArraySlice<Frame>

  /// - Parameter call: sends the call, and returns the frames of its result. Throws `RemoteError` for what was thrown over there.
  public init(name: String, call: @escaping @Sendable (EncodedCall) async throws -> ArraySlice<Frame>) {
    self.name = name
    self.call = call
  }

  public static func == (a: CallRoute, b: CallRoute) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

public import Transport
