@preconcurrency import CPython
import ApusClient
import ApusMessaging
import Transport

/// What a client tells, as Python's objects. All need the interpreter's lock.
enum ClientObjects {
  // Set once when the module is made, under the interpreter's lock.
  nonisolated(unsafe) private static var errorType: Object?

  /// - Returns: false with an exception set.
  static func register(in module: Object) -> Bool {
    errorType = PyErr_NewException("apus._core.ClientError", nil, nil)
    guard let errorType else { return false }
    return PyObject_SetAttrString(module, "ClientError", errorType) == 0
  }

  /// Raises `ClientError(code, text)`; returns nil.
  static func raise(_ error: ClientError) -> Object? {
    guard let errorType, let arguments = Python.tuple([Python.string(error.code.description), Python.string("\(error)")]) else {
      return nil
    }
    PyErr_SetObject(errorType, arguments)
    Py_DecRef(arguments)
    return nil
  }

  /// (number, kind, a, b, c, d). A new reference.
  static func tuple(_ event: CompletionQueue.Event) -> Object? {
    switch event {
    case .replied(let number, let reply):
      let isSuccess = reply.isSuccess
      // What the content of a task's reply says besides is known then.
      let content = isSuccess && reply.type == .applyReply ? Python.none() : bytes(reply.contentFrame)
      return tuple(
        number, isSuccess ? 0 : 1, bytes(reply.metadataFrame), bytes(reply.headerFrame), content, views(reply.buffers))
    case .failed(let number, let error):
      return tuple(number, 2, Python.none(), Python.none(), bytes(Frame(content(of: error))), Python.none())
    case .output(let number, let message):
      return tuple(
        number, 10, Python.string(message.type.text), bytes(message.headerFrame), bytes(message.contentFrame),
        views(message.buffers))
    case .outputEnded(let number): return tuple(number, 11)
    case .sent(let number): return tuple(number, 12)
    case .arrived(let engine): return self.engine(engine, 20)
    case .departed(let engine): return self.engine(engine, 21)
    case .awaited(let engines): return tuple(-1, 22, self.engines(engines))
    case .givenUp(let engines): return tuple(-1, 23, self.engines(engines))
    case .closed(let error):
      return tuple(-1, 30, Python.string(error.code.description), Python.string("\(error)"), Python.none(), Python.none())
    }
  }

  private static func tuple(
    _ number: Int, _ kind: Int, _ a: Object? = Python.none(), _ b: Object? = Python.none(), _ c: Object? = Python.none(),
    _ d: Object? = Python.none()
  ) -> Object? { Python.tuple(PyLong_FromLong(number), PyLong_FromLong(kind), a, b, c, d) }

  private static func engine(_ engine: RegisteredEngine, _ kind: Int) -> Object? {
    tuple(
      engine.id.number, kind, Python.string(engine.uuid.text), Python.string(engine.kind.rawValue), Python.bool(engine.isOwn),
      Python.none())
  }

  /// [(id, uuid, kind, is_own), ...]. A new reference.
  static func engines(_ engines: [RegisteredEngine]) -> Object? {
    Python.list(
      engines.map { engine in
        Python.tuple([
          PyLong_FromLong(engine.id.number), Python.string(engine.uuid.text), Python.string(engine.kind.rawValue),
          Python.bool(engine.isOwn),
        ])
      })
  }

  private static func bytes(_ frame: Frame) -> Object? { frame.withUnsafeBytes { Python.bytes($0) } }

  /// A tuple: the collector of cycles does not look into one of `bytes` again.
  private static func views(_ frames: ArraySlice<Frame>) -> Object? {
    guard let whole = PyTuple_New(frames.count) else { return nil }
    for (index, frame) in frames.enumerated() {
      guard let view = FrameView.object(for: frame) else {
        Py_DecRef(whole)
        return nil
      }
      PyTuple_SetItem(whole, index, view)
    }
    return whole
  }

  /// A list of `tuple`s. A new reference.
  static func list(_ events: [CompletionQueue.Event]) -> Object? {
    guard let whole = PyList_New(events.count) else { return nil }
    for (index, event) in events.enumerated() {
      guard let object = tuple(event) else {
        Py_DecRef(whole)
        return nil
      }
      PyList_SetItem(whole, index, object)
    }
    return whole
  }

  private static func content(of error: any Error) -> JSONValue {
    if let error = error as? RemoteError { return error.content }
    var content: JSONObject = ["status": "error", "ename": "ClientError", "evalue": .string("\(error)"), "traceback": []]
    if let error = error as? ClientError { content["code"] = .string(error.code.description) }
    return .object(content)
  }
}
