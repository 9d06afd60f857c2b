// What the Swift importer cannot see of libzmq and of Linux's eventfd: macros and inline functions.
#pragma once
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

static inline int apus_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

/// Names the calling thread; the kernel keeps 15 bytes.
static inline void apus_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Gives memory that was freed back to the system.
static inline void apus_trim_memory(void) { malloc_trim(0); }
