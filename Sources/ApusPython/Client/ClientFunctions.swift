@preconcurrency import CPython
import ApusClient
import ApusMessaging
import Transport

/// A client of a cluster, as functions of `apus._core`: each takes the handle that `client_open` returned.
enum ClientFunctions {
  static let table: [(StaticString, FastFunction)] = [
    ("client_open", open), ("client_close", close), ("client_session", session), ("client_engines", engines),
    ("client_submit", submit), ("client_submit_task", submitTask), ("client_submit_many", submitMany), ("client_abort", abort),
    ("client_take", take),
    ("client_lead", lead), ("client_wait", wait), ("client_unlead", stopLeading), ("client_wake", wake),
    ("client_wait_background", waitInBackground),
    ("client_in_flight", inFlight),
  ]

  /// A signal's handler raised an exception, which is set.
  private struct PythonError: Error {}

  /// Runs Python's signal handlers; called without the interpreter's lock.
  private static func runHandlers() throws {
    let isRaised = PythonThread.locked { PyErr_CheckSignals() != 0 }
    if isRaised { throw PythonError() }
  }

  private static func raise(_ error: any Error) -> Object? {
    switch error {
    case is PythonError: return nil
    case let error as ClientError: return ClientObjects.raise(error)
    default: return Python.raise(apus_runtime_error(), "\(error)")
    }
  }

  /// The client of the handle in the first argument; nil with an exception set.
  private static func client(_ arguments: UnsafePointer<Object?>?, _ count: Py_ssize_t, expected: Int, _ usage: String)
    -> BlockingClient?
  {
    guard count == expected, let arguments else {
      _ = Python.raise(apus_type_error(), usage)
      return nil
    }
    let handle = PyLong_AsLong(arguments[0])
    if handle == -1, PyErr_Occurred() != nil { return nil }
    if let client = ClientRegistry.client(handle) { return client }
    _ = ClientObjects.raise(ClientError(.closed, "the client was closed"))
    return nil
  }

  /// As `client`, where nothing is to be done for a client that is over.
  private static func clientOrNone(
    _ arguments: UnsafePointer<Object?>?, _ count: Py_ssize_t, expected: Int, _ usage: String
  ) -> BlockingClient?? {
    guard count == expected, let arguments else {
      _ = Python.raise(apus_type_error(), usage)
      return nil
    }
    let handle = PyLong_AsLong(arguments[0])
    if handle == -1, PyErr_Occurred() != nil { return nil }
    return .some(ClientRegistry.client(handle))
  }

  /// client_open(connection, username, timeout_ms, max_tasks, max_bytes) -> handle. Waits until the hub has told its engines.
  private static let open: FastFunction = { _, arguments, count in
    guard count == 5, let arguments else {
      return Python.raise(apus_type_error(), "client_open(connection, username, timeout_ms, max_tasks, max_bytes)")
    }
    guard let text = Python.text(arguments[0]), let username = Python.text(arguments[1]) else { return nil }
    let numbers = (2..<5).map { PyLong_AsLong(arguments[$0]) }
    if PyErr_Occurred() != nil { return nil }
    let file: ConnectionFile
    do { file = try ConnectionFile(parsing: text) } catch {
      return ClientObjects.raise(ClientError(.connectionFile, "the connection information cannot be used: \(error)"))
    }
    var configuration = ClientConfiguration()
    configuration.username = username
    configuration.connectTimeout = .milliseconds(max(0, numbers[0]))
    configuration.maximumInFlight = InFlightLimit(tasks: numbers[1], bytes: numbers[2])
    nonisolated(unsafe) var outcome: Result<BlockingClient, any Error>?
    Python.unlocked {
      outcome = Result { try BlockingClient.connect(file, configuration: configuration, onSignal: runHandlers) }
    }
    switch outcome {
    case .success(let client): return PyLong_FromLong(ClientRegistry.add(client))
    case .failure(let error): return raise(error)
    case nil: return nil
    }
  }

  /// client_close(handle): what is under way ends with a failure of code `closed`.
  private static let close: FastFunction = { _, arguments, count in
    guard count == 1, let arguments else { return Python.raise(apus_type_error(), "client_close(handle)") }
    let handle = PyLong_AsLong(arguments[0])
    if handle == -1, PyErr_Occurred() != nil { return nil }
    ClientRegistry.client(handle)?.close()
    return Python.none()
  }

  /// client_session(handle) -> (session id, what comes before the number in a message id)
  private static let session: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 1, "client_session(handle)") else { return nil }
    return Python.tuple([Python.string(client.sessionID.text), Python.string(client.idPrefix)])
  }

  /// client_engines(handle) -> [(id, uuid, kind, is_own), ...]
  private static let engines: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 1, "client_engines(handle)") else { return nil }
    return ClientObjects.engines(client.engines)
  }

  // MARK: requests

  private static let submitUsage =
    "client_submit(handle, route, targets, type, content, metadata, buffers, flags, deadline_ms)"

  /// client_submit(...) -> [number, ...]: the routes are 0 hub, 1 control, 2 direct, 3 balanced, 4 broadcast, 5 coalescing; flags are 1 for
  /// who waits for the end of output, 2 for an event when the buffers have been read.
  private static let submit: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 9, submitUsage), let arguments else { return nil }
    let route = PyLong_AsLong(arguments[1])
    let (flags, milliseconds) = (PyLong_AsLong(arguments[7]), PyLong_AsLong(arguments[8]))
    if PyErr_Occurred() != nil { return nil }
    guard let submission = submission(arguments, flags: flags), let buffers = LentBuffer.frames(arguments[6]) else { return nil }
    guard let ids = ids(arguments[2]) else { return nil }
    guard let place = Self.route(route, ids) else { return Python.raise(apus_value_error(), "there is no route \(route)") }
    var whole = submission
    whole.buffers = buffers
    let timeout = milliseconds < 0 ? nil : Duration.milliseconds(milliseconds)
    do {
      // Most are taken at once: the lock is let go of only where there is something to wait for.
      let numbers = try client.submit(
        whole, place, isTracked: flags & 2 != 0, timeout: timeout, unlocked: PythonThread.unlocked, onSignal: runHandlers)
      return Python.list(numbers.map { PyLong_FromLong($0) })
    } catch { return raise(error) }
  }

  /// client_submit_task(handle, metadata, function, buffers) -> number: a call for any engine, the usual kind. The first two are bytes
  /// objects that many calls have in common.
  private static let submitTask: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 4, "client_submit_task(handle, metadata, function, buffers)"),
      let arguments
    else { return nil }
    guard let metadata = metadataFrame.frame(arguments[1]), let function = functionFrame.frame(arguments[2]),
      let buffers = LentBuffer.frames(arguments[3], behind: function)
    else { return nil }
    do {
      let submission = TaskSubmission(.applyRequest, content: .emptyObject, metadata: metadata, buffers: buffers)
      return PyLong_FromLong(try client.submit(submission, unlocked: PythonThread.unlocked, onSignal: runHandlers))
    } catch { return raise(error) }
  }

  // Under the interpreter's lock.
  nonisolated(unsafe) private static var metadataFrame = RecentFrame()
  nonisolated(unsafe) private static var functionFrame = RecentFrame()

  /// client_submit_many(handle, type, content, metadata, buffer_lists, flags) -> first number
  private static let submitMany: FastFunction = { _, arguments, count in
    guard
      let client = client(
        arguments, count, expected: 6, "client_submit_many(handle, type, content, metadata, buffer_lists, flags)"),
      let arguments
    else { return nil }
    let flags = PyLong_AsLong(arguments[5])
    if flags == -1, PyErr_Occurred() != nil { return nil }
    guard let type = Python.text(arguments[1]), let content = LentBuffer.copy(arguments[2]),
      let metadata = LentBuffer.copy(arguments[3]), let items = Python.items(arguments[4])
    else { return nil }
    var lists: [[Frame]] = []
    lists.reserveCapacity(items.count)
    for item in items {
      guard let frames = LentBuffer.frames(item) else { return nil }
      lists.append(frames)
    }
    let submission = TaskSubmission(MessageType(type), content: content, metadata: metadata, awaitsOutput: flags & 1 != 0)
    do {
      let first = try client.submit(submission, buffers: lists, unlocked: PythonThread.unlocked) { try runHandlers() }
      return PyLong_FromLong(first)
    } catch { return raise(error) }
  }

  private static func submission(_ arguments: UnsafePointer<Object?>, flags: Int) -> TaskSubmission? {
    guard let type = Python.text(arguments[3]), let content = LentBuffer.copy(arguments[4]),
      let metadata = LentBuffer.copy(arguments[5])
    else { return nil }
    return TaskSubmission(MessageType(type), content: content, metadata: metadata, awaitsOutput: flags & 1 != 0)
  }

  private static func ids(_ object: Object?) -> [EngineID]? {
    if Python.isNone(object) { return [] }
    guard let items = Python.items(object) else { return nil }
    let ids = items.map { EngineID(PyLong_AsLong($0)) }
    return PyErr_Occurred() == nil ? ids : nil
  }

  private static func route(_ number: Int, _ ids: [EngineID]) -> BlockingClient.Route? {
    switch number {
    case 0: .hub
    case 1: .control(ids)
    case 2: .direct(ids)
    case 3: .balanced
    case 4: .broadcast(ids)
    case 5: .coalescing(ids)
    default: nil
    }
  }

  /// client_abort(handle, numbers, interrupts, kill_after): the last in seconds, below 0 for never
  private static let abort: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 4, "client_abort(handle, numbers, interrupts, kill_after)"),
      let arguments,
      let items = Python.items(arguments[1])
    else { return nil }
    let numbers = items.map { PyLong_AsLong($0) }
    let grace = PyFloat_AsDouble(arguments[3])
    if PyErr_Occurred() != nil { return nil }
    let killAfter = grace >= 0 && grace < 1e9 ? Duration.seconds(grace) : nil
    client.abort(numbers, Cancellation(interrupts: PyObject_IsTrue(arguments[2]) == 1, killAfter: killAfter))
    return Python.none()
  }

  /// client_in_flight(handle) -> (tasks, bytes)
  private static let inFlight: FastFunction = { _, arguments, count in
    guard let client = client(arguments, count, expected: 1, "client_in_flight(handle)") else { return nil }
    let (tasks, bytes) = client.inFlight
    return Python.tuple([PyLong_FromLong(tasks), PyLong_FromLong(bytes)])
  }

  // MARK: what comes back

  /// client_take(handle) -> [(number, kind, a, b, c, d), ...]: all events there are.
  private static let take: FastFunction = { _, arguments, count in
    guard let client = clientOrNone(arguments, count, expected: 1, "client_take(handle)") else { return nil }
    LentBuffer.giveBack()
    return ClientObjects.list(client?.completions.take() ?? [])
  }

  /// client_lead(handle) -> whether this thread may wait in the foreground
  private static let lead: FastFunction = { _, arguments, count in
    guard let client = clientOrNone(arguments, count, expected: 1, "client_lead(handle)") else { return nil }
    return Python.bool(client?.completions.lead() ?? false)
  }

  /// client_wait(handle, timeout_ms) -> whether there are events
  private static let wait: FastFunction = { _, arguments, count in
    guard let found = clientOrNone(arguments, count, expected: 2, "client_wait(handle, timeout_ms)"), let arguments else {
      return nil
    }
    guard let client = found else { return Python.bool(true) }
    let milliseconds = PyLong_AsLong(arguments[1])
    if milliseconds == -1, PyErr_Occurred() != nil { return nil }
    let end = ContinuousClock.now + .milliseconds(max(0, milliseconds))
    while true {
      let left = milliseconds < 0 ? -1 : max(0, Int((end - .now) / .milliseconds(1)) + 1)
      let slice = left < 0 ? signalLatency : min(left, signalLatency)
      nonisolated(unsafe) var found = CompletionQueue.Wait.timedOut
      Python.unlocked { found = client.completions.waitLeading(milliseconds: slice) }
      switch found {
      case .events: return Python.bool(true)
      case .over: return Python.bool(true)
      case .timedOut where slice == left: return Python.bool(false)
      case .timedOut, .interrupted: if PyErr_CheckSignals() != 0 { return nil }
      }
    }
  }

  /// Milliseconds until a handler runs at the latest whose signal came just before the wait, or was taken by another thread, and interrupted nothing.
  private static let signalLatency = 500

  /// client_wake(handle): the wait of who leads, or its next one, ends though there may be no events.
  private static let wake: FastFunction = { _, arguments, count in
    guard let client = clientOrNone(arguments, count, expected: 1, "client_wake(handle)") else { return nil }
    client?.completions.wakeLeader()
    return Python.none()
  }

  /// client_unlead(handle)
  private static let stopLeading: FastFunction = { _, arguments, count in
    guard let client = clientOrNone(arguments, count, expected: 1, "client_unlead(handle)") else { return nil }
    client?.completions.stopLeading()
    return Python.none()
  }

  private static func completionsOrNone(
    _ arguments: UnsafePointer<Object?>?, _ count: Int, _ usage: String
  ) -> CompletionQueue?? { clientOrNone(arguments, count, expected: 1, usage).map { $0?.completions } }

  /// client_wait_background(handle) -> whether there is something to take; False when the client is over. Its sockets are closed then.
  private static let waitInBackground: FastFunction = { _, arguments, count in
    // Not the client: its last reference is to go without the interpreter's lock.
    guard let completions = completionsOrNone(arguments, count, "client_wait_background(handle)") else { return nil }
    guard let completions, let arguments else { return Python.bool(false) }
    let handle = PyLong_AsLong(arguments[0])
    while true {
      nonisolated(unsafe) var found = CompletionQueue.Wait.timedOut
      Python.unlocked { found = completions.waitInBackground() }
      switch found {
      case .events: return Python.bool(true)
      case .over:
        ClientRegistry.remove(handle)
        return Python.bool(false)
      case .timedOut, .interrupted: if PyErr_CheckSignals() != 0 { return nil }
      }
    }
  }
}
