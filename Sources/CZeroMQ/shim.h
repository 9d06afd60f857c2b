// What the Swift importer cannot see of libzmq and of Linux's eventfd: macros and inline functions.
#pragma once
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

/// Who is at the other end of a local socket, as the system knows it.
struct apus_peer {
  int process;
  unsigned int user;
  unsigned int group;
};

// Declared here because the C library shows it to GNU sources only.
extern int accept4(int, struct sockaddr *, socklen_t *, int);

/// Takes a connection from a listening local socket: non-blocking, and not inherited by other programs.
static inline int apus_accept(int listener) { return accept4(listener, 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK); }

/// Whether the other end of a local socket was opened by our own user.
static inline int apus_is_own_peer(int descriptor) {
  struct apus_peer peer;
  socklen_t size = sizeof peer;
  return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && size == sizeof peer && peer.user == geteuid();
}

/// Names the calling thread; the kernel keeps 15 bytes.
static inline void apus_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

/// Gives memory that was freed back to the system.
static inline void apus_trim_memory(void) { malloc_trim(0); }
