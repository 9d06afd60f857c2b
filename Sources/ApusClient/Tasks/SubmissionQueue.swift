import ApusMessaging
import DequeModule
import Synchronization
import Transport

/// The way from callers on any thread to the client's loop, and the account of what is under way.
///
/// One wake-up serves as many posts as have come together. A caller who would exceed the limit is suspended here, in order of arrival,
/// and its task is posted when there is room: nothing blocks a thread.
final class SubmissionQueue: Sendable {
  enum Post: Sendable {
    case submit(Request)
    case abort(TaskNumber, Cancellation)

    var awaitsOutput: Bool { if case .submit(let request) = self { request.awaitsOutput } else { false } }
  }

  private struct Waiter {
    let id: Int
    let requests: [Request]
    let continuation: CheckedContinuation<Void, any Error>
    var tasks: Int { requests.reduce(0) { $0 + $1.handles.count } }
    var cost: Int { requests.reduce(0) { $0 + $1.cost } }
  }

  private struct Contents {
    var posts: [Post] = []
    var spare: [Post] = []
    var tasks = 0
    var bytes = 0
    var waiting = Deque<Waiter>()
    /// Of callers who hold a thread: each is called once when there is room.
    var onRoom: [@Sendable () -> Void] = []
    var lastWaiter = 0
    var closed: ClientError?
  }

  let ids: RequestIDs
  let limit: InFlightLimit
  private let contents = Mutex(Contents())
  private let loop: EventLoop
  /// In a structure: a bare closure in a `Mutex` would be wrapped in another thunk at each access, and the chain would grow for ever.
  private struct Reader: Sendable { var call: (@Sendable () -> Void)? }
  private let reader = Mutex(Reader())
  private let isLineOpen = Atomic(false)

  /// Whether tasks go to the controller by a line of this host.
  var sharesMemory: Bool {
    get { isLineOpen.load(ordering: .relaxed) }
    set { isLineOpen.store(newValue, ordering: .relaxed) }
  }

  /// - Parameter loop: where posts are read and timers run.
  init(ids: RequestIDs, limit: InFlightLimit, loop: EventLoop) {
    self.ids = ids
    self.limit = limit
    self.loop = loop
  }

  /// Set once, before the first post. Called on the loop when posts are there.
  func onPosts(_ reader: @escaping @Sendable () -> Void) { self.reader.withLock { $0.call = reader } }

  /// Runs the action on the loop after that time.
  func schedule(after delay: Duration, _ action: @escaping @Sendable () -> Void) {
    loop.execute { [loop] in loop.schedule(after: delay, action) }
  }

  // MARK: callers

  /// Posts a task as soon as the limit lets it; does not suspend while there is room.
  /// - Throws: `ClientError` if the client is closed, `CancellationError` if the caller was cancelled while it waited.
  func submit(_ request: Request) async throws {
    if !(try admit(request.handles.count, request.cost) { $0.append(.submit(request)) }) { try await wait([request]) }
  }

  /// Several at once: none goes before there is room for all, or nothing else is under way.
  func submit(_ requests: [Request]) async throws {
    guard !requests.isEmpty else { return }
    let cost = requests.reduce(0) { $0 + $1.cost }
    let tasks = requests.reduce(0) { $0 + $1.handles.count }
    if !(try admit(tasks, cost) { posts in for request in requests { posts.append(.submit(request)) } }) {
      try await wait(requests)
    }
  }

  /// As `submit`, for a caller who does not suspend.
  /// - Parameter onRoom: called from any thread if there is no room now, when some has come, or the client is closed: try again then.
  /// - Returns: whether the requests were taken.
  func submitNow(_ requests: [Request], onRoom: (@Sendable () -> Void)? = nil) throws(ClientError) -> Bool {
    let cost = requests.reduce(0) { $0 + $1.cost }
    let tasks = requests.reduce(0) { $0 + $1.handles.count }
    while true {
      if try admit(tasks, cost, { posts in for request in requests { posts.append(.submit(request)) } }) { return true }
      guard let onRoom else { return false }
      let waits = contents.withLock { contents in
        // It may have come in between.
        if contents.closed != nil || contents.waiting.isEmpty && fits(tasks, cost, contents) { return false }
        contents.onRoom.append(onRoom)
        return true
      }
      if waits { return false }
    }
  }

  /// - Returns: false if there is no room now.
  func submitNow(_ request: Request) throws(ClientError) -> Bool {
    try admit(request.handles.count, request.cost) { $0.append(.submit(request)) }
  }

  private func admit(_ count: Int, _ cost: Int, _ append: (inout [Post]) -> Void) throws(ClientError) -> Bool {
    let (isAdmitted, mustWake, closed) = contents.withLock { contents -> (Bool, Bool, ClientError?) in
      if let closed = contents.closed { return (false, false, closed) }
      guard contents.waiting.isEmpty, fits(count, cost, contents) else { return (false, false, nil) }
      contents.tasks += count
      contents.bytes += cost
      let isFirst = contents.posts.isEmpty
      append(&contents.posts)
      return (true, isFirst, nil)
    }
    if let closed { throw closed }
    if mustWake { wake() }
    return isAdmitted
  }

  private func wait(_ requests: [Request]) async throws {
    let id = contents.withLock { contents in
      contents.lastWaiter += 1
      return contents.lastWaiter
    }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        let (closed, mustWake) = contents.withLock { contents -> (ClientError?, Bool) in
          if let closed = contents.closed { return (closed, false) }
          contents.waiting.append(Waiter(id: id, requests: requests, continuation: continuation))
          return (nil, Self.admitWaiting(&contents, fits: fits))
        }
        if let closed { return continuation.resume(throwing: closed) }
        if mustWake { wake() }
        if Task.isCancelled { abandon(id) }
      }
    } onCancel: {
      abandon(id)
    }
  }

  private func abandon(_ id: Int) {
    let (waiter, mustWake) = contents.withLock { contents -> (Waiter?, Bool) in
      guard let index = contents.waiting.firstIndex(where: { $0.id == id }) else { return (nil, false) }
      let waiter = contents.waiting.remove(at: index)
      // It may have been in the way of smaller ones behind it.
      return (waiter, index == 0 && Self.admitWaiting(&contents, fits: fits))
    }
    if mustWake { wake() }
    waiter?.continuation.resume(throwing: CancellationError())
  }

  /// Queries, which are never held back.
  func postNow(_ requests: [Request]) throws(ClientError) {
    let (isFirst, closed) = contents.withLock { contents -> (Bool, ClientError?) in
      if let closed = contents.closed { return (false, closed) }
      let isFirst = contents.posts.isEmpty
      for request in requests { contents.posts.append(.submit(request)) }
      return (isFirst, nil)
    }
    if let closed { throw closed }
    if isFirst { wake() }
  }

  /// What is never held back: queries, aborts.
  func post(_ post: Post) {
    let (isFirst, closed) = contents.withLock { contents -> (Bool, ClientError?) in
      if let closed = contents.closed { return (false, closed) }
      contents.posts.append(post)
      return (contents.posts.count == 1, nil)
    }
    if isFirst { wake() }
    if let closed, case .submit(let request) = post {
      for handle in request.handles { handle.finish(.failure(closed)) }
    }
  }

  // MARK: the end of a turn

  private struct Wakes: Sendable { var actions: [@Sendable () -> Void] = [] }
  private let wakes = Mutex(Wakes())

  /// Called on the loop: the action runs once what the loop is reading now is read. A reader of many results is woken so, and finds many.
  func atEndOfTurn(_ action: @escaping @Sendable () -> Void) { wakes.withLock { $0.actions.append(action) } }

  func turnEnded() {
    let actions = wakes.withLock { wakes in
      guard !wakes.actions.isEmpty else { return [@Sendable () -> Void]() }
      defer { wakes.actions = [] }
      return wakes.actions
    }
    for action in actions { action() }
  }

  private func wake() { loop.execute { self.reader.withLock { $0.call }?() } }

  // MARK: the loop

  /// All posts, in order. Give the storage back with `recycle`.
  func take() -> [Post] {
    contents.withLock { contents in
      var taken: [Post] = []
      swap(&taken, &contents.spare)
      swap(&taken, &contents.posts)
      return taken
    }
  }

  func recycle(_ posts: consuming [Post]) {
    var posts = posts
    posts.removeAll(keepingCapacity: posts.count <= 4096)
    contents.withLock { $0.spare = posts }
  }

  /// A task has ended. Waiting callers go on when a quarter is free: they come in batches, not one by one.
  func release(bytes: Int) {
    let (mustWake, onRoom) = contents.withLock { contents in
      contents.tasks -= 1
      contents.bytes -= bytes
      guard !contents.waiting.isEmpty || !contents.onRoom.isEmpty, contents.tasks <= limit.tasks - max(1, limit.tasks / 4) else {
        return (false, [@Sendable () -> Void]())
      }
      let mustWake = Self.admitWaiting(&contents, fits: fits)
      defer { contents.onRoom = [] }
      return (mustWake, contents.onRoom)
    }
    if mustWake { wake() }
    for action in onRoom { action() }
  }

  private static func admitWaiting(_ contents: inout Contents, fits: (Int, Int, Contents) -> Bool) -> Bool {
    let wasEmpty = contents.posts.isEmpty
    while let next = contents.waiting.first {
      let cost = next.cost
      let tasks = next.tasks
      guard fits(tasks, cost, contents) else { break }
      contents.waiting.removeFirst()
      contents.tasks += tasks
      contents.bytes += cost
      for request in next.requests { contents.posts.append(.submit(request)) }
      next.continuation.resume()
    }
    return wasEmpty && !contents.posts.isEmpty
  }

  private func fits(_ count: Int, _ cost: Int, _ contents: Contents) -> Bool {
    contents.tasks == 0 || contents.tasks + count <= limit.tasks && contents.bytes + cost <= limit.bytes
  }

  /// Nothing is accepted any more; who waits gets the error.
  func close(_ error: ClientError) {
    let (waiting, onRoom) = contents.withLock { contents in
      contents.closed = contents.closed ?? error
      defer {
        contents.waiting = []
        contents.onRoom = []
      }
      return (contents.waiting, contents.onRoom)
    }
    for waiter in waiting { waiter.continuation.resume(throwing: error) }
    for action in onRoom { action() }
  }

  /// Why nothing is accepted any more.
  var closed: ClientError? { contents.withLock { $0.closed } }
  /// Callers that wait for room.
  var waitingCount: Int { contents.withLock { $0.waiting.count } }
  /// Callers that hold a thread and wait for room.
  var roomWaiterCount: Int { contents.withLock { $0.onRoom.count } }
  /// What is under way now, in tasks and bytes.
  var inFlight: (tasks: Int, bytes: Int) { contents.withLock { ($0.tasks, $0.bytes) } }
}
