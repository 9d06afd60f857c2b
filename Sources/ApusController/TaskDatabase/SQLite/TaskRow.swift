import ApusMessaging
import Foundation
import GRDB
import Transport

/// One record as one row, and back.
enum TaskRow {
  // MARK: record to row

  /// A field in the form of its column: JSON and dates as text, buffers as a pickle.
  static func databaseValue(_ field: TaskRecord.Field, of record: TaskRecord) -> DatabaseValue {
    switch field {
    case .header: json(record.header)
    case .metadata: json(record.metadata)
    case .content: json(record.content)
    case .result_header: json(record.reply?.headerFrame)
    case .result_metadata: json(record.reply?.metadataFrame)
    case .result_content: json(record.reply?.contentFrame)
    case .buffers: PickledBuffers.encode(record.requestBuffers).databaseValue
    case .result_buffers: PickledBuffers.encode(record.replyBuffers).databaseValue
    case .submitted: record.submitted.map { pythonDate($0) }.databaseValue
    case .received: record.received.map { pythonDate($0) }.databaseValue
    case .started, .completed: record.value(field).stringValue.flatMap { Timestamp($0) }.map { pythonDate($0) }.databaseValue
    default: text(record.value(field))
    }
  }

  private static func text(_ value: JSONValue) -> DatabaseValue {
    switch value {
    case .null: .null
    case .string(let text): text.databaseValue
    default: value.text.databaseValue
    }
  }

  /// The bytes as they came, if other readers can read them too.
  private static func json(_ frame: Frame?) -> DatabaseValue {
    guard let frame, (try? frame.json()) != nil else { return .null }
    return frame.text.databaseValue
  }

  /// As Python writes a moment in UTC, to the letter: dates in this file are compared as text.
  static func pythonDate(_ date: Timestamp) -> String {
    var text = date.description
    if text.hasSuffix("Z") { text.removeLast() }
    if text.hasSuffix(".000000") { text.removeLast(7) }
    return text + "+00:00"
  }

  /// Bytes of a record's row, at most.
  static func byteCount(_ record: TaskRecord) -> Int {
    record.byteCount + 9 * (record.requestBufferCount + record.replyBuffers.count) + 4096
  }

  // MARK: row to record

  static func record(_ row: Row) throws -> TaskRecord {
    var columns: [TaskRecord.Field: DatabaseValue] = [:]
    for (field, value) in zip(TaskRecord.Field.allCases, row.databaseValues) { columns[field] = value }
    func text(_ field: TaskRecord.Field) -> String? {
      switch columns[field]?.storage {
      case .string(let text): text
      case .blob(let data): String(decoding: data, as: UTF8.self)
      case .int64(let number): String(number)
      case .double(let number): String(number)
      case .null, nil: nil
      }
    }
    func frame(_ field: TaskRecord.Field) -> Frame { text(field).map { Frame($0) } ?? .emptyObject }
    let id = MessageID(text(.msg_id) ?? "")
    func buffers(_ field: TaskRecord.Field) throws -> [Frame] {
      guard case .blob(let pickle) = columns[field]?.storage else { return [] }
      guard let frames = PickledBuffers.decode(pickle) else {
        throw TaskDatabaseError(.storage, "the \(field.rawValue) of task \(id) are not a pickled list of bytes")
      }
      return frames
    }

    let record = TaskRecord(id)
    if text(.header) != nil {
      record.request = Envelope(
        signature: .empty, header: frame(.header), parentHeader: .emptyObject, metadata: frame(.metadata), content: frame(.content),
        buffers: try buffers(.buffers))
    }
    if text(.result_header) != nil {
      record.reply = Envelope(
        signature: .empty, header: frame(.result_header), parentHeader: text(.header) == nil ? .emptyObject : frame(.header),
        metadata: frame(.result_metadata), content: frame(.result_content), buffers: try buffers(.result_buffers))
    }
    record.engine = text(.engine_uuid).map { EngineUUID($0) }
    record.resubmitted = text(.resubmitted).map { MessageID($0) }
    record.received = text(.received).flatMap { Timestamp($0) }
    record.queue = text(.queue).flatMap { TaskQueue(rawValue: $0) }
    record.output = output(text)
    record.marks = [.rowWritten, .requestWritten, .replyWritten]
    return record
  }

  /// - Returns: `nil` if the task put nothing out: most do not.
  private static func output(_ text: (TaskRecord.Field) -> String?) -> TaskRecord.Output? {
    func value(_ field: TaskRecord.Field) -> JSONValue {
      guard let text = text(field) else { return .null }
      return (try? JSONValue(parsing: text)) ?? .string(text)
    }
    let output = TaskRecord.Output()
    output.executeInput = text(.execute_input)
    output.executeResult = value(.execute_result)
    output.error = value(.error)
    output.stdout = text(.stdout) ?? ""
    output.stderr = text(.stderr) ?? ""
    let isEmpty = output.executeInput == nil && output.executeResult.isNull && output.error.isNull && output.stdout.isEmpty
    return isEmpty && output.stderr.isEmpty ? nil : output
  }
}
