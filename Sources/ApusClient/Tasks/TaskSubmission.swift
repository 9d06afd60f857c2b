public import ApusMessaging
public import Transport

/// A task before it has a target: one request message without its header. The typed layers make these; a view sends them.
public struct TaskSubmission: Sendable {
  /// `apply_request` or `execute_request`.
  public var type: MessageType
  /// A JSON object.
  public var content: Frame
  /// A JSON object; views add their own members (`after`, `targets` and so on).
  public var metadata: Frame
  /// Raw parts behind the dictionaries. They are shared, not copied.
  public var buffers: [Frame]
  /// A name for people, kept in the task database.
  public var label: String?
  /// Whether the task's output is complete only when the engine says that it is idle (for every task on Python engines, and for
  /// ours). Costs two more messages a task; without it, output that comes after the reply is lost.
  public var awaitsOutput: Bool

  public init(
    _ type: MessageType = .applyRequest, content: Frame = .emptyObject, metadata: Frame = .emptyObject, buffers: [Frame] = [],
    label: String? = nil, awaitsOutput: Bool = false
  ) {
    self.type = type
    self.content = content
    self.metadata = metadata
    self.buffers = buffers
    self.label = label
    self.awaitsOutput = awaitsOutput
  }

  /// As above, from values.
  public init(
    _ type: MessageType = .applyRequest, content: JSONObject, metadata: JSONObject = [:], buffers: [Frame] = [],
    label: String? = nil,
    awaitsOutput: Bool = false
  ) {
    self.init(
      type, content: Frame(.object(content)), metadata: Frame(.object(metadata)), buffers: buffers, label: label,
      awaitsOutput: awaitsOutput)
  }

  /// Source for a Python engine (protocol section 7.1).
  /// - Parameter isSilent: a silent execution shows no result and stays out of the engine's history.
  public static func execute(_ code: String, isSilent: Bool = false, label: String? = nil) -> TaskSubmission {
    TaskSubmission(
      .executeRequest, content: ["code": .string(code), "silent": .bool(isSilent), "user_expressions": [:]], label: label,
      awaitsOutput: true)
  }

  /// What one message of it holds in memory, in bytes: its frames, and a header, a signature and our own account of it. What is shared memory
  /// already is its owner's, who has it once for all messages.
  /// - Parameter isShared: messages go to a controller of this host, which has that memory, too.
  func cost(isShared: Bool) -> Int {
    var cost = content.count + metadata.count + 512
    for buffer in buffers where !isShared || buffer.sharedMemory == nil { cost += buffer.count }
    return cost
  }
}

extension Frame {
  /// Two JSON objects as one, without reading either. Their keys must differ.
  func joined(with object: Frame) -> Frame {
    if object.isIdentical(to: .emptyObject) { return self }
    if isIdentical(to: .emptyObject) { return object }
    return withUnsafeBytes { first in
      object.withUnsafeBytes { second in
        guard first.count > 2, first[first.count - 1] == UInt8(ascii: "}") else { return object }
        guard second.count > 2, second[0] == UInt8(ascii: "{") else { return self }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(first.count + second.count)
        bytes.append(contentsOf: first.dropLast())
        bytes.append(UInt8(ascii: ","))
        bytes.append(contentsOf: second.dropFirst())
        return Frame(bytes)
      }
    }
  }
}
