public import ApusMessaging

extension TaskRecord {
  /// What a task printed and displayed. A class: text grows in place.
  public final class Output {
    public var executeInput: String?
    public var executeResult: JSONValue = .null { didSet { valueBytes.0 = executeResult.footprint } }
    public var error: JSONValue = .null { didSet { valueBytes.1 = error.footprint } }
    public var displayData: [JSONValue] = [] {
      didSet {
        if displayData.count == counted + 1, let last = displayData.last {
          valueBytes.2 += last.footprint
        } else {
          valueBytes.2 = displayData.reduce(0) { $0 + $1.footprint }
        }
        counted = displayData.count
      }
    }
    public var stdout = ""
    public var stderr = ""
    /// Whether text or displays were left out because there were more than `limit` bytes.
    public private(set) var isTruncated = false

    private var valueBytes: (Int, Int, Int) = (0, 0, 0)
    private var counted = 0

    /// Bytes of streams and displays kept of one task; what comes later is not kept, and a line says so. Clients get it all the same.
    public static let limit = 16 << 20

    public init() {}

    /// Bytes in memory, about.
    public var byteCount: Int {
      (executeInput?.utf8.count ?? 0) + stdout.utf8.count + stderr.utf8.count + valueBytes.0 + valueBytes.1 + valueBytes.2
    }

    /// Takes note of what an engine published. Content that is not of its kind changes nothing.
    public func append(_ kind: OutputKind, _ content: JSONObject) {
      switch kind {
      case .executeInput: executeInput = content["code"]?.stringValue ?? executeInput
      case .executeResult: executeResult = .object(content)
      case .error: error = .object(content)
      case .displayData: if hasRoom(for: JSONValue.object(content).footprint) { displayData.append(.object(content)) }
      case .stream:
        guard let text = content["text"]?.stringValue, let name = content["name"]?.stringValue, hasRoom(for: text.utf8.count) else {
          return
        }
        if name == "stdout" { stdout += text } else if name == "stderr" { stderr += text }
      }
    }

    private func hasRoom(for bytes: Int) -> Bool {
      if isTruncated { return false }
      if stdout.utf8.count + stderr.utf8.count + valueBytes.2 + bytes <= Self.limit { return true }
      isTruncated = true
      stderr += "\n[more than \(Self.limit >> 20) MiB of output: the rest was not recorded]\n"
      return false
    }
  }

  /// Takes note of what an engine published about this task.
  public func append(_ kind: OutputKind, _ message: Envelope) {
    let output = self.output ?? Output()
    // Not read for nothing: there may be gigabytes of it.
    if output.isTruncated, kind == .stream || kind == .displayData { return }
    guard let content = try? message.content() else { return }
    output.append(kind, content)
    self.output = output
  }
}

extension JSONValue {
  /// Bytes in memory, about.
  fileprivate var footprint: Int {
    let node = MemoryLayout<JSONValue>.stride
    return switch self {
    case .null, .bool, .int, .double: node
    case .string(let text), .bigInteger(let text): node + text.utf8.count
    case .array(let elements): elements.reduce(node) { $0 + $1.footprint }
    case .object(let object): object.members.reduce(node) { $0 + $1.key.utf8.count + 16 + $1.value.footprint }
    }
  }
}
