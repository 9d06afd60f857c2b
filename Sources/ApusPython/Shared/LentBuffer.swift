@preconcurrency import CPython
import ApusClient
import ApusEngine
import Transport

/// Memory of Python objects that libzmq sends without a copy. It is given back under the interpreter's lock, by the kernel's thread or a
/// client's.
enum LentBuffer {
  /// Buffers from this size on are lent; smaller ones are copied at once.
  private static let threshold = 64 << 10

  private static let returned = Mutex<[UInt]>([])
  private static let engine = Mutex<Engine?>(nil)
  private static let clients = Mutex<[CompletionQueue]>([])

  /// The engine whose kernel is woken to give memory back.
  static func notify(_ engine: Engine?) { self.engine.withLock { $0 = engine } }

  /// A client whose background thread is woken to give memory back.
  static func notify(_ client: CompletionQueue) { clients.withLock { $0.append(client) } }
  static func forget(_ client: CompletionQueue) { clients.withLock { $0.removeAll { $0 === client } } }

  /// - Returns: nil with an exception set, for objects without contiguous memory.
  static func frame(_ object: Object?) -> Frame? {
    if let kept = FrameView.kept(in: object) { return kept }
    let view = UnsafeMutablePointer<Py_buffer>.allocate(capacity: 1)
    view.initialize(to: Py_buffer())
    // PyBUF_SIMPLE: contiguous bytes.
    guard PyObject_GetBuffer(object, view, 0) == 0 else {
      view.deallocate()
      return nil
    }
    let bytes = UnsafeMutableRawBufferPointer(start: view.pointee.buf, count: view.pointee.len)
    guard bytes.count >= threshold else {
      defer {
        PyBuffer_Release(view)
        view.deallocate()
      }
      return Frame(UnsafeRawBufferPointer(bytes))
    }
    return Frame(lending: bytes, owner: view) { _, owner in
      guard let owner else { return }
      LentBuffer.returned.withLock { $0.append(UInt(bitPattern: owner)) }
      LentBuffer.engine.withLock { $0 }?.nudgeKernel()
      for client in LentBuffer.clients.withLock({ $0 }) { client.nudge() }
    }
  }

  /// A frame of its own, whatever the size.
  static func copy(_ object: Object?) -> Frame? {
    var view = Py_buffer()
    guard PyObject_GetBuffer(object, &view, 0) == 0 else { return nil }
    defer { PyBuffer_Release(&view) }
    return Frame(shared: UnsafeRawBufferPointer(start: view.buf, count: view.len))
  }

  /// - Parameter first: what comes before them.
  static func frames(_ object: Object?, behind first: Frame? = nil) -> [Frame]? {
    if Python.isNone(object) { return first.map { [$0] } ?? [] }
    guard let items = Python.items(object) else { return nil }
    var frames: [Frame] = []
    frames.reserveCapacity(items.count + 1)
    if let first { frames.append(first) }
    for item in items {
      guard let frame = frame(item) else { return nil }
      frames.append(frame)
    }
    return frames
  }

  /// Releases what has been sent. Needs the interpreter's lock.
  static func giveBack() {
    let views = returned.withLock { returned in
      defer { returned.removeAll() }
      return returned
    }
    for address in views {
      guard let view = UnsafeMutablePointer<Py_buffer>(bitPattern: address) else { continue }
      PyBuffer_Release(view)
      view.deallocate()
    }
  }
}

/// The frame of the `bytes` object that was asked for last: of many calls of one function, the function is copied once, and all of them
/// share it.
struct RecentFrame {
  private var object: Object?
  private var frame = Frame.empty

  /// - Returns: nil with an exception set, for what has no contiguous memory.
  mutating func frame(_ object: Object?) -> Frame? {
    if let object, object == self.object { return frame }
    guard let copy = LentBuffer.copy(object) else { return nil }
    // Nothing but `bytes` is sure to be what it was.
    if let object, PyBytes_AsString(object) != nil {
      Py_IncRef(object)
      Py_DecRef(self.object)
      self.object = object
      frame = copy
    } else {
      PyErr_Clear()
    }
    return copy
  }
}
