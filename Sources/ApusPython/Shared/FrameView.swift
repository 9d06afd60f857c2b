@preconcurrency import CPython
import ApusMessaging
import Transport

/// `apus._core.Frame`: a received frame, lent to Python by the buffer protocol without a copy.
enum FrameView {
  /// Frames up to this size become `bytes`: a copy is cheaper than an object that lends.
  ///
  /// Messages of a batch share frames that are equal, and lent memory is writable: whatever may come in a batch is copied.
  static let copyLimit = 2 * MessageBatch.largestMessage

  private final class Holder {
    let frame: Frame
    init(_ frame: Frame) { self.frame = frame }
  }

  /// The layout of an instance: Python's header, then ours.
  private struct Instance {
    var head: PyObject
    var holder: Unmanaged<Holder>?
  }

  // Set once when the module is made, under the interpreter's lock.
  nonisolated(unsafe) private static var type: Object?

  /// - Returns: false with an exception set.
  static func register(in module: Object) -> Bool {
    let getBuffer: @convention(c) (Object?, UnsafeMutablePointer<Py_buffer>?, Int32) -> Int32 = { object, view, flags in
      guard let frame = FrameView.frame(of: object) else {
        PyErr_SetString(apus_value_error(), "the frame is empty")
        return -1
      }
      // ipyparallel's engines get writable memory, and their users' functions write into it. The frame belongs to this view alone:
      // libzmq has handed it over, and nobody else keeps it.
      return frame.withUnsafeBytes {
        PyBuffer_FillInfo(view, object, UnsafeMutableRawPointer(mutating: $0.baseAddress), $0.count, 0, flags)
      }
    }
    let free: @convention(c) (Object?) -> Void = { object in
      guard let object else { return }
      object.withMemoryRebound(to: Instance.self, capacity: 1) { instance in
        instance.pointee.holder?.release()
        instance.pointee.holder = nil
      }
      let type = PyObject_Type(object)
      if let slot = PyType_GetSlot(type.map { OpaquePointer($0) }, Py_tp_free) {
        unsafeBitCast(slot, to: (@convention(c) (UnsafeMutableRawPointer?) -> Void).self)(object)
      }
      // One reference of `PyObject_Type`, one that the instance held.
      Py_DecRef(type)
      Py_DecRef(type)
    }
    var slots = [
      PyType_Slot(slot: Py_bf_getbuffer, pfunc: unsafeBitCast(getBuffer, to: UnsafeMutableRawPointer.self)),
      PyType_Slot(slot: Py_tp_dealloc, pfunc: unsafeBitCast(free, to: UnsafeMutableRawPointer.self)),
      PyType_Slot(slot: 0, pfunc: nil),
    ]
    slots.withUnsafeMutableBufferPointer { slots in
      "apus._core.Frame".withCString { name in
        var spec = PyType_Spec(
          name: name, basicsize: Int32(MemoryLayout<Instance>.stride), itemsize: 0, flags: UInt32(apus_type_flags()),
          slots: slots.baseAddress)
        type = PyType_FromSpec(&spec)
      }
    }
    guard let type else { return false }
    return PyObject_SetAttrString(module, "Frame", type) == 0
  }

  /// A memoryview of the frame, or `bytes` where that is cheaper. A new reference.
  static func object(for frame: Frame) -> Object? {
    if frame.count <= copyLimit { return frame.withUnsafeBytes { Python.bytes($0) } }
    guard let instance = instance(of: frame) else { return nil }
    defer { Py_DecRef(instance) }
    return PyMemoryView_FromObject(instance)
  }

  /// The frame that was made of this object, or was received as it; `nil` for all other objects.
  static func kept(in object: Object?) -> Frame? {
    guard let type, let object, Python.type(of: object) == OpaquePointer(type) else { return nil }
    return frame(of: object)
  }

  /// `keep_frame(buffer) -> Frame`: a copy of it that any number of messages can share.
  static let functions: [(StaticString, FastFunction)] = [("keep_frame", keep)]

  private static let keep: FastFunction = { _, arguments, count in
    guard count == 1, let arguments else { return Python.raise(apus_type_error(), "keep_frame(buffer)") }
    var view = Py_buffer()
    guard PyObject_GetBuffer(arguments[0], &view, 0) == 0 else { return nil }
    defer { PyBuffer_Release(&view) }
    // Read only: nobody else sees the lent frame, and nothing is given back by it.
    let lent = Frame(lending: UnsafeMutableRawBufferPointer(start: view.buf, count: view.len), owner: nil) { _, _ in }
    nonisolated(unsafe) var copy = Frame.empty
    Python.unlocked { copy = SharedMemory.copy(of: lent) }
    guard copy.count == view.len else { return PyErr_NoMemory() }
    return instance(of: copy)
  }

  private static func instance(of frame: Frame) -> Object? {
    guard let type, let instance = PyType_GenericAlloc(OpaquePointer(type), 0) else { return nil }
    instance.withMemoryRebound(to: Instance.self, capacity: 1) { $0.pointee.holder = Unmanaged.passRetained(Holder(frame)) }
    return instance
  }

  private static func frame(of object: Object?) -> Frame? {
    object?.withMemoryRebound(to: Instance.self, capacity: 1) { $0.pointee.holder?.takeUnretainedValue().frame }
  }
}
