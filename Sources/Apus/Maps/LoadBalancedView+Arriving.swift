public import ApusClient
import ApusMessaging
public import ApusTasks
import ApusValues

/// Maps over items that arrive over time.
extension LoadBalancedView {
  /// Calls a closure without captures for each item as it arrives, one task each; reading items and reading results go on side by side.
  ///
  ///     for try await answer in try view.results(arriving: lines, isOrdered: false, { analyse($0) }) { … }
  ///
  /// - Parameters:
  ///   - isOrdered: in the order of the items; otherwise as they come.
  ///   - ahead: tasks whose results were not read; then the input waits for the reader.
  public func results<Items: AsyncSequence & Sendable, Output: Codable & Sendable>(
    arriving items: Items, isOrdered: Bool = true, ahead: Int = 8192, _ body: @escaping Work<Items.Element, Output>
  ) throws -> MapResults<Output> where Items.Element: Codable & Sendable {
    let call = try ClosureCall(each: body)
    let view = try ofSwiftEngines()
    return MapResults(chunks: {
      let tasks = items.map { item in
        TaskSubmission(.applyRequest, metadata: MessagePackCodec.metadata, buffers: try call.call([item]).buffers)
      }
      let iterator = view.results(of: tasks, isOrdered: isOrdered, ahead: ahead).makeAsyncIterator()
      return {
        guard let result = try await iterator.next() else { return nil }
        let values = result.result.mapError(typed).flatMap { reply in
          Result { () throws -> [Output] in try one(ClosureCall<Items.Element, Output>.results(reply.buffers)) }
        }
        return MapChunk(start: result.index, count: 1, values: values)
      }
    })
  }
}

/// - Throws: where an engine answers one item with another number of results.
private func one<Output>(_ values: [Output]) throws -> [Output] {
  guard values.count == 1 else { throw ClientError(.badReply, "\(values.count) results came for one item") }
  return values
}
