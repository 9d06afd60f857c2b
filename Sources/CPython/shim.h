// CPython's stable ABI (3.11 and later), and inline functions for what the Swift importer cannot see: macros and exported variables.
#pragma once
// Before Python.h, which asks for other features of the C library than the Glibc module was made with: one `fd_set` for both.
#include <sys/select.h>
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

static inline PyObject *_Nonnull apus_none(void) {
  PyObject *none = Py_None;
  Py_IncRef(none);
  return none;
}
static inline int apus_is_none(PyObject *_Nullable object) { return object == Py_None; }
static inline PyObject *_Nonnull apus_runtime_error(void) { return PyExc_RuntimeError; }
static inline PyObject *_Nonnull apus_type_error(void) { return PyExc_TypeError; }
static inline PyObject *_Nonnull apus_value_error(void) { return PyExc_ValueError; }
static inline PyObject *_Nonnull apus_os_error(void) { return PyExc_OSError; }
static inline PyTypeObject *_Nullable apus_type(PyObject *_Nonnull object) { return Py_TYPE(object); }
static inline PyTypeObject *_Nonnull apus_tuple_type(void) { return &PyTuple_Type; }
static inline int apus_abi_version(void) { return PYTHON_ABI_VERSION; }
static inline unsigned long apus_type_flags(void) { return Py_TPFLAGS_DEFAULT; }
static inline PyModuleDef_Base apus_module_head(void) {
  PyModuleDef_Base base = PyModuleDef_HEAD_INIT;
  return base;
}
