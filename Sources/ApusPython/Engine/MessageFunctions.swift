@preconcurrency import CPython
import ApusEngine
import ApusMessaging
import Transport

/// What an engine says while it works, as functions of `apus._core`.
enum MessageFunctions {
  static let table: [(StaticString, FastFunction)] = [
    ("reply_result", replyResult), ("reply_error", replyError), ("reply", reply), ("skip_reply", skipReply), ("publish", publish),
    ("publish_error", publishError), ("write", write), ("flush", flush), ("abort_executions", abortExecutions),
    ("bind_frontends", bindFrontends),
  ]

  private static func shell() -> Shell? {
    if let shell = EngineRuntime.shell { return shell }
    _ = Python.raise(apus_runtime_error(), "no engine runs here")
    return nil
  }

  /// reply_result(buffers, codec or None): the running apply request has a result.
  private static let replyResult: FastFunction = { _, arguments, count in
    guard count == 2, let arguments else { return Python.raise(apus_type_error(), "reply_result(buffers, codec)") }
    guard let shell = shell(), let buffers = LentBuffer.frames(arguments[0]) else { return nil }
    var codec: String?
    if !Python.isNone(arguments[1]) {
      guard let text = Python.text(arguments[1]) else { return nil }
      codec = text
    }
    shell.reply(.init(type: .applyReply, succeeded: true, content: okay, buffers: buffers, codec: codec))
    return Python.none()
  }
  private static let okay = Frame("{\"status\":\"ok\"}")

  /// The error of (method, ename, evalue, traceback) from the given argument on.
  private static func error(_ arguments: UnsafePointer<Object?>, method: String) -> RemoteError? {
    guard let name = Python.text(arguments[0]), let value = Python.text(arguments[1]), let traceback = Python.texts(arguments[2])
    else {
      return nil
    }
    let engine = EngineRuntime.engine
    return RemoteError(
      name: name, value: value, traceback: traceback,
      engine: .init(
        uuid: engine?.configuration.uuid ?? EngineUUID(""), id: engine?.publishedID ?? EngineID(-1), method: method))
  }

  /// reply_error(ename, evalue, traceback[, refused]): the running apply request failed. Refused: it cannot run in this engine, and
  /// may in another.
  private static let replyError: FastFunction = { _, arguments, count in
    guard count == 3 || count == 4, let arguments else {
      return Python.raise(apus_type_error(), "reply_error(ename, evalue, traceback, refused)")
    }
    guard let shell = shell(), let error = error(arguments, method: "apply") else { return nil }
    let isRefusal = count == 4 && PyObject_IsTrue(arguments[3]) == 1
    shell.reply(
      .init(type: .applyReply, succeeded: false, content: Frame(error.content), errorName: error.name, isRefusal: isRefusal))
    return Python.none()
  }

  /// reply(type, succeeded, content as JSON, ename or None, buffers or None)
  private static let reply: FastFunction = { _, arguments, count in
    guard count == 5, let arguments else {
      return Python.raise(apus_type_error(), "reply(type, succeeded, content, ename, buffers)")
    }
    guard let shell = shell(), let type = Python.text(arguments[0]),
      let content = Python.withUTF8(arguments[2], { Frame($0) }), let buffers = LentBuffer.frames(arguments[4])
    else { return nil }
    var errorName: String?
    if !Python.isNone(arguments[3]) {
      guard let text = Python.text(arguments[3]) else { return nil }
      errorName = text
    }
    let succeeded = PyObject_IsTrue(arguments[1]) == 1
    shell.reply(.init(type: MessageType(type), succeeded: succeeded, content: content, buffers: buffers, errorName: errorName))
    return Python.none()
  }

  /// skip_reply(): the running request wants no answer.
  private static let skipReply: FastFunction = { _, _, _ in
    guard let shell = shell() else { return nil }
    shell.finishWithoutReply()
    return Python.none()
  }

  /// publish(type, kind, content as JSON, buffers or None, bare topic)
  private static let publish: FastFunction = { _, arguments, count in
    guard count == 5, let arguments else { return Python.raise(apus_type_error(), "publish(type, kind, content, buffers, bare)") }
    guard let type = Python.text(arguments[0]), let kind = Python.text(arguments[1]),
      let content = Python.withUTF8(arguments[2], { Frame($0) }), let buffers = LentBuffer.frames(arguments[3])
    else { return nil }
    EngineRuntime.engine?.publish(
      MessageType(type), kind: kind, hasBareTopic: PyObject_IsTrue(arguments[4]) == 1, content: content, buffers: buffers)
    return Python.none()
  }

  /// publish_error(ename, evalue, traceback)
  private static let publishError: FastFunction = { _, arguments, count in
    guard count == 3, let arguments else { return Python.raise(apus_type_error(), "publish_error(ename, evalue, traceback)") }
    guard let error = error(arguments, method: "") else { return nil }
    let content: JSONValue = [
      "ename": .string(error.name), "evalue": .string(error.value), "traceback": JSONValue(error.traceback),
    ]
    EngineRuntime.engine?.publish(.error, kind: "error", content: Frame(content))
    return Python.none()
  }

  /// write(0 for stdout or 1 for stderr, text, header as JSON bytes or None) -> whether an engine took it.
  private static let write: FastFunction = { _, arguments, count in
    guard count == 3, let arguments else { return Python.raise(apus_type_error(), "write(stream, text, header)") }
    let stream = PyLong_AsLong(arguments[0])
    if stream == -1, PyErr_Occurred() != nil { return nil }
    guard let engine = EngineRuntime.engine else { return Python.bool(false) }
    var parent: Frame?
    if !Python.isNone(arguments[2]) {
      guard let header = LentBuffer.frame(arguments[2]) else { return nil }
      parent = header
    }
    guard Python.withUTF8(arguments[1], { engine.write($0, to: stream == 1 ? .stderr : .stdout, parent: parent) }) != nil else {
      return nil
    }
    return Python.bool(true)
  }

  /// flush(): publish what was written.
  private static let flush: FastFunction = { _, _, _ in
    EngineRuntime.engine?.flushOutput()
    return Python.none()
  }

  /// abort_executions(): the execute requests that wait are answered "aborted".
  private static let abortExecutions: FastFunction = { _, _, _ in
    guard let shell = shell() else { return nil }
    shell.abortQueuedExecutions()
    return Python.none()
  }

  /// bind_frontends() -> (shell, iopub, stdin, control, heartbeat, key): endpoints for Jupyter frontends.
  private static let bindFrontends: FastFunction = { _, _, _ in
    guard let shell = shell() else { return nil }
    do {
      let found = try shell.bindFrontends()
      let texts = [found.shell, found.iopub, found.input, found.control, found.heart, found.key]
      guard let tuple = PyTuple_New(Py_ssize_t(texts.count)) else { return nil }
      for (index, text) in texts.enumerated() { PyTuple_SetItem(tuple, Py_ssize_t(index), Python.string(text)) }
      return tuple
    } catch { return Python.raise(apus_runtime_error(), "\(error)") }
  }
}
