import ApusMessaging
import Transport

/// Maps on a load-balanced view: chunks of the items go to whichever engine is free.
extension PythonView where View == LoadBalancedView {
  /// Calls a function for each item: `map("math.sqrt", over: numbers, as: Double.self)`. With several collections it gets an
  /// element of each.
  ///
  /// - Parameters:
  ///   - items: arrays, ranges and so on, equally long.
  ///   - keywords: for every call.
  ///   - chunkSize: how many items travel, and run one after another, in one task; `nil` divides them so that each engine gets some
  ///     eight tasks, of at most 16 384 items. Use 1 for items that take long, or very different, times.
  ///   - type: of one result.
  /// - Returns: the results in the order of the items.
  /// - Throws: as `apply`; the first failure cancels what is outstanding.
  public func map<each Items: RandomAccessCollection & Sendable, Value: Decodable & Sendable>(
    _ function: String, over items: repeat each Items, keywords: [String: any Encodable & Sendable] = [:], chunkSize: Int? = nil,
    as type: Value.Type = Value.self
  ) async throws -> [Value] where repeat (each Items).Element: Encodable & Sendable {
    try await map(PythonMap(.named(function), over: repeat each items, keywords: keywords), chunkSize)
  }

  /// As above, with a function given as source.
  public func map<each Items: RandomAccessCollection & Sendable, Value: Decodable & Sendable>(
    source: String, over items: repeat each Items, keywords: [String: any Encodable & Sendable] = [:], chunkSize: Int? = nil,
    as type: Value.Type = Value.self
  ) async throws -> [Value] where repeat (each Items).Element: Encodable & Sendable {
    try await map(PythonMap(.source(source), over: repeat each items, keywords: keywords), chunkSize)
  }

  private func map<Value: Decodable & Sendable>(_ map: PythonMap, _ chunkSize: Int?) async throws -> [Value] {
    let size = chunkSize ?? PythonMap.chunkSize(items: map.count, engines: view.client.engines.count { $0.kind == .python })
    guard size > 0 else { throw ClientError(.invalidArgument, "a chunk has 1 item or more, not \(size)") }
    let ranges = stride(from: 0, to: map.count, by: size).map { $0..<min($0 + size, map.count) }
    let view = try view.ofPythonEngines()
    return try await map.collect(ranges) { call, _ in
      try await view.submit(call.submission(label: label, awaitsOutput: awaitsOutput))
    }
  }
}

/// Maps on a direct view: each engine gets one part of the items.
extension PythonView where View == DirectView {
  /// Calls a function for each item, with the items divided evenly and in order among the engines.
  ///
  /// - Parameters:
  ///   - items: arrays, ranges and so on, equally long.
  ///   - keywords: for every call.
  ///   - chunkSize: how many items travel, and run one after another, in one task; `nil` is one task for each engine.
  ///   - type: of one result.
  /// - Returns: the results in the order of the items.
  /// - Throws: as `apply`; the first failure cancels what is outstanding.
  public func map<each Items: RandomAccessCollection & Sendable, Value: Decodable & Sendable>(
    _ function: String, over items: repeat each Items, keywords: [String: any Encodable & Sendable] = [:], chunkSize: Int? = nil,
    as type: Value.Type = Value.self
  ) async throws -> [Value] where repeat (each Items).Element: Encodable & Sendable {
    try await map(PythonMap(.named(function), over: repeat each items, keywords: keywords), chunkSize)
  }

  /// As above, with a function given as source.
  public func map<each Items: RandomAccessCollection & Sendable, Value: Decodable & Sendable>(
    source: String, over items: repeat each Items, keywords: [String: any Encodable & Sendable] = [:], chunkSize: Int? = nil,
    as type: Value.Type = Value.self
  ) async throws -> [Value] where repeat (each Items).Element: Encodable & Sendable {
    try await map(PythonMap(.source(source), over: repeat each items, keywords: keywords), chunkSize)
  }

  private func map<Value: Decodable & Sendable>(_ map: PythonMap, _ chunkSize: Int?) async throws -> [Value] {
    guard chunkSize ?? 1 > 0 else { throw ClientError(.invalidArgument, "a chunk has 1 item or more, not \(chunkSize ?? 0)") }
    let engines = try view.ofPythonEngines().engines
    var ranges: [Range<Int>] = []
    var places: [RegisteredEngine] = []
    for (engine, part) in zip(engines, Partition.blocks(map.count, in: engines.count)) {
      let size = chunkSize ?? max(1, part.count)
      for first in stride(from: part.lowerBound, to: part.upperBound, by: size) {
        ranges.append(first..<min(first + min(size, part.count), part.upperBound))
        places.append(engine)
      }
    }
    return try await map.collect(ranges) { [places] call, index in
      let submission = call.submission(label: label ?? view.label, awaitsOutput: awaitsOutput)
      let tasks = try await view.client.submit(submission, to: [places[index]])
      guard let task = tasks.first else { throw ClientError(.noEngines, "no task was made") }
      return task
    }
  }
}
