import ApusMessaging
import Transport

/// The metadata of a reply (protocol section 7.2): what schedulers read, and what a client shows beside a result.
struct ReplyMetadata {
  enum Status: String {
    case ok
    case error
    case aborted
  }

  var started: Timestamp
  var status: Status
  /// False when the engine lacks what the task needs: the scheduler tries another one.
  var dependenciesMet = true
  /// The engine does not know such a task at all. Beside `dependencies_met: false`, which keeps a task waiting for an engine that
  /// has what it needs, this lets the scheduler hand the error over as soon as every engine has said so.
  var isRefusal = false
  /// The form of the reply's buffers; absent for ipyparallel's.
  var codec: String?
  /// Messages of output that were published before this reply. They go another way and may come later: a client that has had so many
  /// has them all.
  var outputCount = 0
  let uuid: EngineUUID
  let id: EngineID?

  /// - Parameter request: metadata of the request, of which some keys come back.
  func frame(answering request: Frame) -> Frame { frame(ending: ending(answering: request)) }

  fileprivate func frame(ending: [UInt8]) -> Frame {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(48 + ending.count)
    bytes.append(contentsOf: "{\"started\":\"".utf8)
    bytes.append(contentsOf: started.description.utf8)
    bytes.append(contentsOf: ending)
    return Frame(bytes)
  }

  /// Everything behind the date, which is the same for all tasks that were asked for in the same words and ended in the same way.
  fileprivate func ending(answering request: Frame) -> [UInt8] {
    let asked = request.count > 2 ? (try? request.json())?.objectValue : nil
    var writer = JSONWriter(reserving: 384)
    writer.append(raw: "\",\"dependencies_met\":")
    writer.append(.bool(dependenciesMet))
    writer.append(raw: ",\"engine\":")
    writer.append(string: uuid.text)
    writer.append(raw: ",\"is_broadcast\":")
    writer.append(asked?["is_broadcast"] ?? false)
    writer.append(raw: ",\"is_coalescing\":")
    writer.append(asked?["is_coalescing"] ?? false)
    writer.append(raw: ",\"original_msg_id\":")
    writer.append(asked?["original_msg_id"] ?? "")
    writer.append(raw: ",\"label\":")
    writer.append(asked?["label"] ?? .null)
    if status != .ok || !dependenciesMet {
      // The scheduler counts each try once, also where it hears of one twice.
      writer.append(raw: ",\"attempt\":")
      writer.append(.int(asked?["attempt"]?.intValue ?? 0))
    }
    if let codec {
      writer.append(raw: ",\"codec\":")
      writer.append(string: codec)
    }
    if outputCount > 0 {
      writer.append(raw: ",\"output\":")
      writer.append(.int(outputCount))
    }
    if isRefusal { writer.append(raw: ",\"refused\":true") }
    writer.append(raw: ",\"status\":")
    writer.append(string: status.rawValue)
    if status == .error {
      writer.append(raw: ",\"engine_info\":")
      let info: JSONValue = ["engine_uuid": .string(uuid.text), "engine_id": .int(id?.number ?? -1)]
      writer.append(info)
    }
    writer.append(raw: "}")
    return writer.bytes
  }
}

/// Remembers the last ending: tasks of a map differ in their dates only.
struct ReplyMetadataWriter {
  private var last: (request: Frame, metadata: ReplyMetadata, ending: [UInt8])?

  mutating func frame(_ metadata: ReplyMetadata, answering request: Frame) -> Frame {
    if let last, last.metadata.isLike(metadata), last.request == request { return metadata.frame(ending: last.ending) }
    let ending = metadata.ending(answering: request)
    last = (request, metadata, ending)
    return metadata.frame(ending: ending)
  }
}

extension ReplyMetadata {
  /// Equal but for the date.
  fileprivate func isLike(_ other: ReplyMetadata) -> Bool {
    status == other.status && dependenciesMet == other.dependenciesMet && isRefusal == other.isRefusal && codec == other.codec
      && outputCount == other.outputCount
      && id == other.id && uuid == other.uuid
  }
}
