import ApusMessaging
import ZeroMQ

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
  let uuid: EngineUUID
  let id: EngineID?

  /// - Parameter request: metadata of the request, of which some keys come back.
  func frame(answering request: Frame) -> Frame {
    let asked = request.count > 2 ? (try? request.json())?.objectValue : nil
    var writer = JSONWriter(reserving: 384)
    writer.append(raw: "{\"started\":")
    writer.append(string: started.description)
    writer.append(raw: ",\"dependencies_met\":")
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
    if let codec {
      writer.append(raw: ",\"codec\":")
      writer.append(string: codec)
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
    return Frame(writer.bytes)
  }
}
