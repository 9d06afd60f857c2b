@preconcurrency import CPython
import ApusEngine
import ApusMessaging
import Transport

/// The life of an engine, as functions of `apus._core`.
enum EngineFunctions {
  static let table: [(StaticString, FastFunction)] = [
    ("start", start), ("ready", ready), ("next", next), ("descriptors", descriptors), ("stop", stop), ("finish", finish),
    ("watch_signals", watchSignals), ("configure_log", configureLog), ("log", log), ("interrupted_task", interruptedTask),
  ]

  /// start(name, value, ...) -> (id, uuid). Registers the engine; RuntimeError says why it could not, ValueError what is wrong with
  /// the connection information.
  private static let start: FastFunction = { _, arguments, count in
    var options: [String] = []
    for index in 0..<Int(count) {
      guard let text = Python.text(arguments?[index]) else { return nil }
      options.append(text)
    }
    guard EngineRuntime.engine == nil else { return Python.raise(apus_runtime_error(), "this process is an engine already") }
    let configuration: EngineConfiguration
    do { configuration = try EngineRuntime.configuration(options) } catch { return Python.raise(apus_value_error(), "\(error)") }
    do {
      let engine = try Engine(configuration)
      let shell = Shell(engine: engine)
      EngineRuntime.set(engine)
      EngineRuntime.shell = shell
      // Not with the lock: a thread that forks has the loops' lock and waits for this one.
      Python.unlocked { engine.start() }
      while true {
        nonisolated(unsafe) var outcome: Result<EngineID?, EngineError> = .success(nil)
        Python.unlocked {
          do throws(EngineError) { outcome = .success(try shell.waitForRegistration()) } catch { outcome = .failure(error) }
        }
        if let id = try outcome.get() {
          guard let tuple = PyTuple_New(2) else { return nil }
          PyTuple_SetItem(tuple, 0, PyLong_FromLong(id.number))
          PyTuple_SetItem(tuple, 1, Python.string(configuration.uuid.text))
          return tuple
        }
        if PyErr_CheckSignals() != 0 { return nil }
      }
    } catch {
      return Python.raise(apus_runtime_error(), "\(error)")
    }
  }

  /// ready(): the startup code has run; requests may come.
  private static let ready: FastFunction = { _, _, _ in
    EngineRuntime.engine?.kernelIsReady()
    return Python.none()
  }

  /// next(milliseconds) -> (type, id, content, metadata, header, buffers), or None when the time is over, or an int: the exit code.
  /// Runs Python's signal handlers; what they raise comes out of here.
  private static let next: FastFunction = { _, arguments, count in
    guard let shell = EngineRuntime.shell, count == 1 else { return Python.raise(apus_runtime_error(), "no engine runs here") }
    let milliseconds = PyLong_AsLong(arguments?[0])
    if milliseconds == -1, PyErr_Occurred() != nil { return nil }
    while true {
      LentBuffer.giveBack()
      nonisolated(unsafe) var event = Shell.Event.timedOut
      Python.unlocked { event = shell.next(milliseconds: milliseconds) }
      switch event {
      case .request(let request): return tuple(request)
      case .timedOut: return Python.none()
      case .stopped(let code): return PyLong_FromLong(Int(code))
      case .interrupted: if PyErr_CheckSignals() != 0 { return nil }
      }
    }
  }

  private static func tuple(_ request: ShellRequest) -> Object? {
    let envelope = request.envelope
    let buffers = envelope.buffers
    guard let list = PyList_New(Py_ssize_t(buffers.count)) else { return nil }
    for (index, frame) in buffers.enumerated() {
      guard let object = FrameView.object(for: frame) else {
        Py_DecRef(list)
        return nil
      }
      PyList_SetItem(list, Py_ssize_t(index), object)
    }
    guard let tuple = PyTuple_New(6) else {
      Py_DecRef(list)
      return nil
    }
    PyTuple_SetItem(tuple, 0, Python.string(request.type.text))
    PyTuple_SetItem(tuple, 1, Python.string(request.id.text))
    PyTuple_SetItem(tuple, 2, envelope.contentFrame.withUnsafeBytes { Python.bytes($0) })
    PyTuple_SetItem(tuple, 3, envelope.metadataFrame.withUnsafeBytes { Python.bytes($0) })
    PyTuple_SetItem(tuple, 4, envelope.headerFrame.withUnsafeBytes { Python.bytes($0) })
    PyTuple_SetItem(tuple, 5, list)
    if PyErr_Occurred() != nil {
      Py_DecRef(tuple)
      return nil
    }
    return tuple
  }

  /// descriptors() -> a tuple: edge-triggered; after any of them was readable, call next(0) until it returns None.
  private static let descriptors: FastFunction = { _, _, _ in
    guard let shell = EngineRuntime.shell else { return Python.raise(apus_runtime_error(), "no engine runs here") }
    let descriptors = shell.pollDescriptors
    guard let tuple = PyTuple_New(descriptors.count) else { return nil }
    for (index, descriptor) in descriptors.enumerated() { PyTuple_SetItem(tuple, index, PyLong_FromLong(Int(descriptor))) }
    return tuple
  }

  /// stop(code): end soon, even if a task goes on.
  private static let stop: FastFunction = { _, arguments, count in
    let code = count > 0 ? PyLong_AsLong(arguments?[0]) : 0
    if code == -1, PyErr_Occurred() != nil { return nil }
    EngineRuntime.engine?.stop(code: Int32(truncatingIfNeeded: code))
    return Python.none()
  }

  /// finish(): leave the cluster, and wait until the last messages are out.
  private static let finish: FastFunction = { _, _, _ in
    guard let engine = EngineRuntime.engine else { return Python.none() }
    let shell = EngineRuntime.shell
    EngineRuntime.shell = nil
    nonisolated(unsafe) let closing = shell
    Python.unlocked {
      closing?.close()
      engine.finish()
    }
    LentBuffer.giveBack()
    EngineRuntime.set(nil)
    return Python.none()
  }

  /// watch_signals(descriptor): where the interpreter writes the numbers of signals (signal.set_wakeup_fd).
  private static let watchSignals: FastFunction = { _, arguments, count in
    let descriptor = count > 0 ? PyLong_AsLong(arguments?[0]) : -1
    if descriptor < 0 { return PyErr_Occurred() != nil ? nil : Python.none() }
    EngineRuntime.engine?.watchSignals(descriptor: Int32(truncatingIfNeeded: descriptor))
    return Python.none()
  }

  /// interrupted_task() -> the id of the task that the signal of this moment was sent for, or None: it is for whatever runs.
  private static let interruptedTask: FastFunction = { _, _, _ in
    guard let id = EngineRuntime.engine?.takeInterruptedTask() else { return Python.none() }
    return Python.string(id.text)
  }

  /// configure_log(level, descriptor)
  private static let configureLog: FastFunction = { _, arguments, count in
    guard count == 2 else { return Python.raise(apus_type_error(), "configure_log(level, descriptor)") }
    let (level, descriptor) = (PyLong_AsLong(arguments?[0]), PyLong_AsLong(arguments?[1]))
    if PyErr_Occurred() != nil { return nil }
    EngineLog.configure(level: level, descriptor: Int32(truncatingIfNeeded: descriptor))
    return Python.none()
  }

  /// log(level, text): a line in the engine's log.
  private static let log: FastFunction = { _, arguments, count in
    guard count == 2 else { return Python.raise(apus_type_error(), "log(level, text)") }
    let level = PyLong_AsLong(arguments?[0])
    if level == -1, PyErr_Occurred() != nil { return nil }
    guard let text = Python.text(arguments?[1]) else { return nil }
    EngineLog.log(number: level, text)
    return Python.none()
  }
}
