import ApusMessaging
import ApusValues
import Transport

/// A call in the form of the wire (docs/codecs.md, Calls): the head, which is the same for all calls of a map, and the arguments.
struct PythonCall: Sendable {
  /// In words, for errors.
  let name: String
  let head: Frame
  /// The arguments, or the values to push; none for a pull.
  let arguments: [Frame]

  init(_ name: String, head: Frame, arguments: [Frame]) {
    self.name = name
    self.head = head
    self.arguments = arguments
  }

  /// - Throws: `ClientError` `invalidArgument` for a value that cannot be sent.
  init(_ name: String, head: Frame, _ arguments: some Encodable) throws(ClientError) {
    do {
      self.init(name, head: head, arguments: try MessagePackEncoder().encode(arguments, outOfBand: MessagePackCodec.outOfBand))
    } catch {
      throw ClientError(.invalidArgument, "the arguments of \(name) cannot be sent: \(Self.reason(error))")
    }
  }

  static func push(_ values: [String: any Encodable & Sendable]) throws(ClientError) -> PythonCall {
    try PythonCall("push", head: try Head("push").frame(), NamedValues(values))
  }

  static func pull(_ name: String) throws(ClientError) -> PythonCall {
    var head = Head("pull")
    head.names = [name]
    return PythonCall("the variable \(name)", head: try head.frame(), arguments: [])
  }

  func submission(label: String?, awaitsOutput: Bool) -> TaskSubmission {
    TaskSubmission(metadata: MessagePackCodec.metadata, buffers: [head] + arguments, label: label, awaitsOutput: awaitsOutput)
  }

  /// What a call's first frame says. Absent members are left out.
  struct Head: Encodable {
    let call: String
    var function: String?
    var source: String?
    var each: Bool?
    var discards: Bool?
    var names: [String]?

    init(_ call: String) { self.call = call }

    func frame() throws(ClientError) -> Frame {
      do { return Frame(try MessagePackEncoder().encode(self)) } catch {
        throw ClientError(.invalidArgument, "the call cannot be written: \(PythonCall.reason(error))")
      }
    }
  }

  private static func reason(_ error: any Error) -> String {
    guard case EncodingError.invalidValue(_, let context) = error else { return "\(error)" }
    let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
    return context.debugDescription + (path.isEmpty ? "" : " (in \(path))")
  }
}
