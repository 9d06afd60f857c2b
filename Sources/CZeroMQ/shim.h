// What the Swift importer cannot see of libzmq and of Linux's eventfd: macros and inline functions.
#pragma once
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zmq.h>

static inline int apus_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static inline int apus_epoll(void) { return epoll_create1(EPOLL_CLOEXEC); }

/// Watches a descriptor for input. With `edge`, one report for each time that something arrives.
static inline int apus_epoll_add(int epoll, int descriptor, unsigned long long token, int edge) {
  struct epoll_event event = {.events = EPOLLIN | (edge ? EPOLLET : 0), .data = {.u64 = token}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

static inline int apus_epoll_remove(int epoll, int descriptor) {
  struct epoll_event none = {0};
  return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &none);
}

/// Waits for input; tells the tokens of at most 16 descriptors that have it.
static inline int apus_epoll_wait(int epoll, unsigned long long *tokens, int milliseconds) {
  struct epoll_event events[16];
  int count = epoll_wait(epoll, events, 16, milliseconds);
  for (int index = 0; index < count; index++) tokens[index] = events[index].data.u64;
  return count;
}

/// Names the calling thread; the kernel keeps 15 bytes.
static inline void apus_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Gives memory that was freed back to the system.
static inline void apus_trim_memory(void) { malloc_trim(0); }
