import ApusMessaging
import Transport

/// A function, and the items that it goes over.
struct PythonMap: Sendable {
  let name: String
  let count: Int
  private let head: Frame
  /// The arguments of the calls for a range of the items.
  private let arguments: @Sendable (Range<Int>, Frame) throws(ClientError) -> PythonCall

  init<each Items: RandomAccessCollection & Sendable>(
    _ function: PythonFunction, over items: repeat each Items, keywords: [String: any Encodable & Sendable]
  ) throws(ClientError) where repeat (each Items).Element: Encodable & Sendable {
    var counts: [Int] = []
    for array in repeat each items { counts.append(array.count) }
    guard let count = counts.first else { throw ClientError(.invalidArgument, "a map has at least one array to go over") }
    guard counts.allSatisfy({ $0 == count }) else {
      let list = counts.map(String.init).joined(separator: ", ")
      throw ClientError(.invalidArgument, "the arrays of a map have different lengths: \(list)")
    }
    let name = function.name
    self.name = name
    self.count = count
    head = try function.head(each: true)
    let columns = (repeat each items)
    let others = NamedValues(keywords)
    arguments = { (range, head) throws(ClientError) in
      try PythonCall(
        name, head: head,
        CallArguments(Positional(repeat Array((each columns).dropFirst(range.lowerBound).prefix(range.count))), others))
    }
  }

  static func chunkSize(items: Int, engines: Int) -> Int {
    let tasks = 8 * max(1, engines)
    return min(16_384, max(1, (items + tasks - 1) / tasks))
  }

  /// Submits the chunks one after another, while there is room, and puts their results together in order.
  func collect<Value: Decodable & Sendable>(
    _ ranges: [Range<Int>], submit: (PythonCall, Int) async throws -> TaskHandle
  ) async throws -> [Value] {
    var tasks: [TaskHandle] = []
    tasks.reserveCapacity(ranges.count)
    var done = 0
    do {
      for (index, range) in ranges.enumerated() {
        tasks.append(try await submit(arguments(range, head), index))
        // One that has failed fails the map: the rest need not be sent.
        while let result = tasks[done].result, done < index {
          _ = try result.get()
          done += 1
        }
      }
      var values: [Value] = []
      values.reserveCapacity(count)
      for (task, range) in zip(tasks, ranges) {
        let chunk = try PythonResult.decode([Value].self, try await task.reply, of: name)
        guard chunk.count == range.count else {
          throw ClientError(.badReply, "\(name) gave \(chunk.count) results for \(range.count) items")
        }
        values.append(contentsOf: chunk)
      }
      return values
    } catch {
      for task in tasks { task.cancel() }
      throw error
    }
  }
}
