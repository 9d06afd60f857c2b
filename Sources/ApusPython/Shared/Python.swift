@preconcurrency import CPython

/// A Python object, borrowed or owned as the comment at each place says.
typealias Object = UnsafeMutablePointer<PyObject>
/// A function of a module, called with an array of borrowed arguments; returns a new reference, or nil with an exception set.
typealias FastFunction = @convention(c) (Object?, UnsafePointer<Object?>?, Py_ssize_t) -> Object?

/// The few conversions between the two languages. All need the interpreter's lock.
enum Python {
  /// Sets an exception; returns nil, for `return Python.raise(...)`.
  static func raise(_ type: Object, _ text: String) -> Object? {
    PyErr_SetString(type, text)
    return nil
  }

  static func none() -> Object? { apus_none() }

  static func bool(_ value: Bool) -> Object? { PyBool_FromLong(value ? 1 : 0) }

  static func string(_ text: String) -> Object? {
    var text = text
    return text.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { PyUnicode_FromStringAndSize($0.baseAddress, Py_ssize_t($0.count)) }
    }
  }

  static func bytes(_ content: UnsafeRawBufferPointer) -> Object? {
    PyBytes_FromStringAndSize(content.baseAddress?.assumingMemoryBound(to: CChar.self), Py_ssize_t(content.count))
  }

  /// The text of a str. Lone surrogates, which UTF-8 cannot carry, become question marks.
  /// - Returns: nil with an exception set.
  static func text(_ object: Object?) -> String? { withUTF8(object) { String(decoding: $0, as: UTF8.self) } }

  static func withUTF8<R>(_ object: Object?, _ body: (UnsafeRawBufferPointer) -> R) -> R? {
    var size: Py_ssize_t = 0
    if let utf8 = PyUnicode_AsUTF8AndSize(object, &size) { return body(UnsafeRawBufferPointer(start: utf8, count: size)) }
    PyErr_Clear()
    guard let replaced = PyUnicode_AsEncodedString(object, "utf-8", "replace") else { return nil }
    defer { Py_DecRef(replaced) }
    var start: UnsafeMutablePointer<CChar>?
    guard PyBytes_AsStringAndSize(replaced, &start, &size) == 0 else { return nil }
    return body(UnsafeRawBufferPointer(start: start, count: size))
  }

  /// The items of a list or tuple of str.
  static func texts(_ object: Object?) -> [String]? {
    items(object)?.reduce(into: [String]?.some([])) { list, item in
      guard let text = text(item) else { return list = nil }
      list?.append(text)
    }
  }

  /// Borrowed items of a list or tuple.
  static func items(_ object: Object?) -> [Object?]? {
    let count = PyObject_Size(object)
    guard count >= 0 else { return nil }
    let isTuple = PyType_IsSubtype(type(of: object), tupleType) != 0
    return (0..<count).map { isTuple ? PyTuple_GetItem(object, $0) : PyList_GetItem(object, $0) }
  }

  static func type(of object: Object?) -> OpaquePointer? { object.flatMap { Py_TYPE_of($0) } }
  private static var tupleType: OpaquePointer? { apus_tuple_type() }
  private static func Py_TYPE_of(_ object: Object) -> OpaquePointer? { apus_type(object) }

  /// A tuple of these new references, which it takes over.
  /// - Returns: nil with an exception set if one of them could not be made.
  static func tuple(_ items: [Object?]) -> Object? {
    gather(items, PyTuple_New) { PyTuple_SetItem($0, $1, $2) }
  }

  /// As above, for the tuples of which there are many.
  static func tuple(_ a: Object?, _ b: Object?, _ c: Object?, _ d: Object?, _ e: Object?, _ f: Object?) -> Object? {
    guard let a, let b, let c, let d, let e, let f, let whole = PyTuple_New(6) else { return tuple([a, b, c, d, e, f]) }
    PyTuple_SetItem(whole, 0, a)
    PyTuple_SetItem(whole, 1, b)
    PyTuple_SetItem(whole, 2, c)
    PyTuple_SetItem(whole, 3, d)
    PyTuple_SetItem(whole, 4, e)
    PyTuple_SetItem(whole, 5, f)
    return whole
  }

  /// A list of these new references, which it takes over.
  static func list(_ items: [Object?]) -> Object? {
    gather(items, PyList_New) { PyList_SetItem($0, $1, $2) }
  }

  private static func gather(
    _ items: [Object?], _ make: (Py_ssize_t) -> Object?, _ set: (Object?, Py_ssize_t, Object?) -> Int32
  ) -> Object? {
    guard !items.contains(where: { $0 == nil }), let whole = make(items.count) else {
      for item in items { Py_DecRef(item) }
      return nil
    }
    for (index, item) in items.enumerated() { _ = set(whole, index, item) }
    return whole
  }

  static func isNone(_ object: Object?) -> Bool { apus_is_none(object) != 0 }

  /// Runs without the interpreter's lock.
  static func unlocked<R>(_ body: () -> R) -> R {
    let state = PyEval_SaveThread()
    defer { PyEval_RestoreThread(state) }
    return body()
  }
}

/// The interpreter's lock around what may wait, where only some calls do: the same thread takes it back.
enum PythonThread {
  /// Runs without the lock.
  static func unlocked(_ body: () throws -> Void) rethrows {
    let state = PyEval_SaveThread()
    defer { PyEval_RestoreThread(state) }
    try body()
  }

  /// Runs with the lock, within `unlocked`.
  static func locked<R>(_ body: () -> R) -> R {
    let state = PyGILState_Ensure()
    defer { PyGILState_Release(state) }
    return body()
  }
}
