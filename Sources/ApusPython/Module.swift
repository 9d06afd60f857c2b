@preconcurrency public import CPython

/// Python's entry point of `apus._core`.
@c(PyInit__core)
public func makeCoreModule() -> UnsafeMutablePointer<PyObject>? { CoreModule.make() }

enum CoreModule {
  static func make() -> Object? {
    let functions =
      EngineFunctions.table + MessageFunctions.table + ClientFunctions.table + StoryFunctions.table + ForkFunctions.table
      + FrameView.functions
    // Method table and definition live as long as the process: CPython keeps pointers to them.
    let methods = UnsafeMutablePointer<PyMethodDef>.allocate(capacity: functions.count + 1)
    for (index, (name, function)) in functions.enumerated() {
      (methods + index).initialize(
        to: PyMethodDef(
          ml_name: UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self),
          ml_meth: unsafeBitCast(function, to: PyCFunction.self),
          ml_flags: METH_FASTCALL, ml_doc: nil))
    }
    (methods + functions.count).initialize(to: PyMethodDef())
    let definition = UnsafeMutablePointer<PyModuleDef>.allocate(capacity: 1)
    var content = PyModuleDef()
    content.m_base = apus_module_head()
    let name: StaticString = "apus._core"
    content.m_name = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
    content.m_size = -1
    content.m_methods = methods
    definition.initialize(to: content)
    guard let module = PyModule_Create2(definition, apus_abi_version()) else { return nil }
    guard FrameView.register(in: module), ClientObjects.register(in: module) else {
      Py_DecRef(module)
      return nil
    }
    return module
  }
}
