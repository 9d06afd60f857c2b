import ApusMessaging
import Transport

/// The engines as callers on any thread see them, and those who wait for some to come.
final class EngineRoster: Sendable {
  private struct Waiter {
    let count: Int
    let continuation: CheckedContinuation<Void, any Error>
  }

  private struct Contents {
    var engines: [RegisteredEngine] = []
    var awaited: [RegisteredEngine] = []
    var isKnown = false
    var waiters: [Int: Waiter] = [:]
    var lastWaiter = 0
    var streams: [Int: AsyncStream<EngineEvent>.Continuation] = [:]
    var closed: ClientError?

    mutating func takeWaiters(_ isDone: (Waiter) -> Bool) -> [Waiter] {
      let ready = waiters.filter { isDone($0.value) }
      for id in ready.keys { waiters[id] = nil }
      return Array(ready.values)
    }

    mutating func takeReady() -> [Waiter] {
      guard isKnown, !waiters.isEmpty else { return [] }
      let count = engines.count
      return takeWaiters { $0.count <= count }
    }
  }

  private let contents = Mutex(Contents())
  private let listener: CompletionQueue?

  /// - Parameter listener: is told too.
  init(listener: CompletionQueue? = nil) { self.listener = listener }

  /// By id.
  var engines: [RegisteredEngine] { contents.withLock { $0.engines } }
  /// The same, and those that a restarted controller has not back yet. Whoever names one of them may submit to it.
  var all: (present: [RegisteredEngine], awaited: [RegisteredEngine]) { contents.withLock { ($0.engines, $0.awaited) } }

  // MARK: the loop

  func apply(_ event: EngineEvent) {
    let (streams, waiters) = contents.withLock { contents in
      switch event {
      case .arrived(let engine):
        if !contents.awaited.isEmpty { contents.awaited.removeAll { $0.uuid == engine.uuid } }
        contents.engines.insert(engine, at: contents.engines.firstIndex { $0.id > engine.id } ?? contents.engines.endIndex)
      case .departed(let engine): contents.engines.removeAll { $0 == engine }
      }
      return (Array(contents.streams.values), contents.takeReady())
    }
    listener?.apply(event)
    for stream in streams { stream.yield(event) }
    for waiter in waiters { waiter.continuation.resume() }
  }

  /// These are awaited from here on, until they arrive or are given up.
  func await(_ engines: [RegisteredEngine]) {
    contents.withLock { $0.awaited = ($0.awaited + engines).sorted() }
    listener?.await(engines)
  }

  func giveUp(_ engines: [RegisteredEngine]) {
    let gone = Set(engines.map(\.uuid))
    contents.withLock { $0.awaited.removeAll { gone.contains($0.uuid) } }
    listener?.giveUp(engines)
  }

  /// More is known of an engine that is there.
  func replace(_ engine: RegisteredEngine) {
    contents.withLock { contents in
      if let index = contents.engines.firstIndex(of: engine) { contents.engines[index] = engine }
    }
    listener?.apply(.arrived(engine))
  }

  /// The hub has told its engines for the first time.
  func becomeKnown() {
    let waiters = contents.withLock { contents in
      contents.isKnown = true
      return contents.takeReady()
    }
    listener?.enginesAreKnown()
    for waiter in waiters { waiter.continuation.resume() }
  }

  func close(_ error: ClientError) {
    let (waiters, streams) = contents.withLock { contents in
      contents.closed = contents.closed ?? error
      defer { contents.streams = [:] }
      return (contents.takeWaiters { _ in true }, Array(contents.streams.values))
    }
    for waiter in waiters { waiter.continuation.resume(throwing: error) }
    for stream in streams { stream.finish() }
    listener?.close(error)
  }

  // MARK: callers

  /// Waits until the hub has told its engines, and there are as many as that.
  /// - Parameter timer: called with what ends the waiting when the time is over.
  /// - Returns: false if the time was over first.
  func wait(for count: Int, timer: (@escaping @Sendable () -> Void) -> Void) async throws -> Bool {
    let id = contents.withLock { contents in
      contents.lastWaiter += 1
      return contents.lastWaiter
    }
    do {
      try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
          let (isDone, closed) = contents.withLock { contents -> (Bool, ClientError?) in
            if let closed = contents.closed { return (false, closed) }
            if contents.isKnown, contents.engines.count >= count { return (true, nil) }
            contents.waiters[id] = Waiter(count: count, continuation: continuation)
            return (false, nil)
          }
          if let closed { return continuation.resume(throwing: closed) }
          if isDone { return continuation.resume() }
          timer { self.abandon(id, Expired()) }
          if Task.isCancelled { abandon(id, CancellationError()) }
        }
      } onCancel: {
        abandon(id, CancellationError())
      }
      return true
    } catch is Expired { return false }
  }

  private struct Expired: Error {}

  private func abandon(_ id: Int, _ error: any Error) {
    contents.withLock { $0.waiters.removeValue(forKey: id) }?.continuation.resume(throwing: error)
  }

  /// The engines that are there as arrivals, then what changes. Few enough to need no bound: a slow reader costs some bytes an engine.
  func events() -> AsyncStream<EngineEvent> {
    AsyncStream { continuation in
      let id = contents.withLock { contents -> Int? in
        for engine in contents.engines { continuation.yield(.arrived(engine)) }
        guard contents.closed == nil else { return nil }
        contents.lastWaiter += 1
        contents.streams[contents.lastWaiter] = continuation
        return contents.lastWaiter
      }
      guard let id else { return continuation.finish() }
      continuation.onTermination = { [weak self] _ in self?.forget(id) }
    }
  }

  private func forget(_ stream: Int) { _ = contents.withLock { $0.streams.removeValue(forKey: stream) } }
}
