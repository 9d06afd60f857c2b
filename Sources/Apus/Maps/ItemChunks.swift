import ApusClient
import ApusMessaging
import ApusTasks
import ApusValues
import DequeModule

/// The items of a map as tasks, each with as many as the sizer says. Read by the task that also reads the results.
final class ItemChunks<Items: Sequence, Output: Codable & Sendable> where Items.Element: Codable & Sendable {
  private var items: Items.Iterator
  private let call: ClosureCall<Items.Element, Output>
  private(set) var sizer: ChunkSizer
  /// What went out and was not read: by number of the chunk, where it begins among the items and how long it is.
  private var sent: [Int: (start: Int, count: Int)] = [:]
  private var chunks = 0
  private var start = 0
  /// Why there are no more chunks, if it is not the end of the items.
  private(set) var failure: (any Error)?

  init(_ items: Items, _ call: ClosureCall<Items.Element, Output>, _ sizer: ChunkSizer) {
    self.items = items.makeIterator()
    self.call = call
    self.sizer = sizer
  }

  func next() -> TaskSubmission? {
    guard failure == nil else { return nil }
    let size = sizer.next()
    var chunk: [Items.Element] = []
    chunk.reserveCapacity(min(size, 65_536))
    while chunk.count < size, let item = items.next() { chunk.append(item) }
    guard !chunk.isEmpty else { return nil }
    do {
      let call = try call.call(chunk)
      sent[chunks] = (start, chunk.count)
      chunks += 1
      start += chunk.count
      return TaskSubmission(.applyRequest, metadata: MessagePackCodec.metadata, buffers: call.buffers)
    } catch {
      failure = error
      return nil
    }
  }

  /// Reads what came back for a chunk.
  func read(_ result: TaskResult) -> MapChunk<Output> {
    let place = sent.removeValue(forKey: result.index) ?? (0, 0)
    switch result.result {
    case .failure(let error): return MapChunk(start: place.start, count: place.count, values: .failure(typed(error)))
    case .success(let reply):
      if sizer.isMeasuring, let started = reply.started, let completed = reply.completed {
        sizer.measured(place.count, seconds: Double(completed.microseconds - started.microseconds) / 1e6)
      }
      let values = Result { () throws -> [Output] in
        let values = try ClosureCall<Items.Element, Output>.results(reply.buffers)
        guard values.count == place.count else {
          throw ClientError(.badReply, "a chunk of \(place.count) items came back with \(values.count) results")
        }
        return values
      }
      return MapChunk(start: place.start, count: place.count, values: values)
    }
  }
}

/// A part of a map's results.
struct MapChunk<Output: Sendable>: Sendable {
  /// Which of the items it begins with.
  let start: Int
  let count: Int
  let values: Result<[Output], any Error>

  /// How one of its items ended. An engine may have answered with too few.
  func value(_ offset: Int) -> Result<Output, any Error> {
    values.flatMap { values in
      values.indices.contains(offset)
        ? .success(values[offset])
        : .failure(ClientError(.badReply, "\(values.count) results came for \(count) items"))
    }
  }
}

/// Items as a sequence of tasks, for `TaskResults`.
struct ItemChunkSequence<Items: Sequence, Output: Codable & Sendable>: Sequence, IteratorProtocol
where Items.Element: Codable & Sendable {
  let chunks: ItemChunks<Items, Output>
  mutating func next() -> TaskSubmission? { chunks.next() }
}
