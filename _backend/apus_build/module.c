// For the extension module alone, which is linked with `--wrap` for the names below that begin with `__wrap_`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

// Distributions compile static archives for programs, not for shared libraries: such code reaches variables only where they lie in
// the same file. These are the C library's variables that libzmq's archive uses, once more, for this file.
extern FILE *__real_stderr;
FILE *__wrap_stderr;
// Zero means that there may be several threads, which is always right to believe.
char __libc_single_threaded = 0;
const struct in6_addr in6addr_any = {{{0}}};

__attribute__((constructor(101))) static void copy_variables(void) { __wrap_stderr = __real_stderr; }

// The buffer protocol joined the stable ABI in CPython 3.11. CPython 3.10 has the same functions and the same structure, but does not promise
// them: they are looked up, so that the module loads with nothing but what 3.10 promises, and says so where one of them is missing.
static void *look_up(const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  if (found == NULL) {
    fprintf(__real_stderr, "apus: this Python has no %s\n", name);
    abort();
  }
  return found;
}

#define FROM_PYTHON(name, result, parameters, arguments)              \
  result __wrap_##name parameters {                                   \
    static result(*function) parameters;                              \
    if (function == NULL) *(void **)&function = look_up(#name);       \
    return function arguments;                                        \
  }
FROM_PYTHON(PyObject_GetBuffer, int, (void *object, void *view, int flags), (object, view, flags))
FROM_PYTHON(PyBuffer_Release, void, (void *view), (view))
FROM_PYTHON(PyBuffer_IsContiguous, int, (const void *view, char order), (view, order))
FROM_PYTHON(
    PyBuffer_FillInfo, int, (void *view, void *object, void *memory, ssize_t size, int read_only, int flags),
    (view, object, memory, size, read_only, flags))
