#define _GNU_SOURCE
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW };

int apus_memory_create(void) { return memfd_create("apus", MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int apus_memory_append(int descriptor, const void *bytes, size_t size) {
  // Written, not mapped: the kernel fills a page at a time, and nobody pays for a page fault.
  const char *next = bytes;
  while (size > 0) {
    ssize_t written = write(descriptor, next, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return -1;
    next += written;
    size -= (size_t)written;
  }
  return 0;
}

int apus_memory_seal(int descriptor) { return fcntl(descriptor, F_ADD_SEALS, SEALS); }

static void *fill(void *argument) {
  const struct apus_piece *piece = argument;
  int filled = apus_memory_append(piece->descriptor, piece->bytes, piece->size) == 0 && apus_memory_seal(piece->descriptor) == 0;
  return filled ? NULL : (void *)piece;
}

enum { MOST_PIECES = 16 };

int apus_memory_fill(const struct apus_piece *pieces, int count) {
  pthread_t threads[MOST_PIECES];
  if (count < 1 || count > MOST_PIECES) return -1;
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int started = 1;
  while (started < count && pthread_create(&threads[started], NULL, fill, (void *)&pieces[started]) == 0) started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  int failed = fill((void *)&pieces[0]) != NULL;
  // Where there is no thread to be had it takes longer.
  for (int index = started; index < count; index++) failed |= fill((void *)&pieces[index]) != NULL;
  for (int index = 1; index < started; index++) {
    void *result = NULL;
    failed |= pthread_join(threads[index], &result) != 0 || result != NULL;
  }
  return failed ? -1 : 0;
}

void *apus_memory_map(const struct apus_piece *pieces, int count) {
  const int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_NORESERVE;
  if (count == 1) return mmap(NULL, pieces[0].size, access, kind, pieces[0].descriptor, 0);
  size_t size = 0;
  for (int index = 0; index < count; index++) size += pieces[index].size;
  char *start = mmap(NULL, size, PROT_NONE, kind | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return MAP_FAILED;
  char *next = start;
  for (int index = 0; index < count; index++) {
    if (mmap(next, pieces[index].size, access, kind | MAP_FIXED, pieces[index].descriptor, 0) == MAP_FAILED) {
      munmap(start, size);
      return MAP_FAILED;
    }
    next += pieces[index].size;
  }
  return start;
}

struct mapping {
  void *start;
  size_t size;
};

static void *unmap(void *argument) {
  struct mapping *mapping = argument;
  munmap(mapping->start, mapping->size);
  free(mapping);
  return NULL;
}

void apus_memory_unmap(void *start, size_t size) {
  enum { MUCH = 32 << 20 };
  struct mapping *mapping = size >= MUCH && apus_processors() > 1 ? malloc(sizeof *mapping) : NULL;
  if (mapping) {
    *mapping = (struct mapping){.start = start, .size = size};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int started = pthread_create(&thread, NULL, unmap, mapping) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
      pthread_detach(thread);
      return;
    }
    free(mapping);
  }
  munmap(start, size);
}

struct reading {
  char *start;
  size_t size;
  void *owner;
  void (*release)(void *);
};

static void *read_ahead(void *argument) {
  struct reading *reading = argument;
#ifdef MADV_POPULATE_READ
  // Older systems refuse, and pages are found one by one.
  madvise(reading->start, reading->size, MADV_POPULATE_READ);
#endif
  reading->release(reading->owner);
  free(reading);
  return NULL;
}

void apus_memory_read_ahead(const void *start, size_t size, void *owner, void (*release)(void *)) {
  // Whole pages alone: those at the ends may be another's.
  size_t page = (size_t)sysconf(_SC_PAGESIZE), skipped = (page - (size_t)start % page) % page;
  struct reading *reading = size > skipped ? malloc(sizeof *reading) : NULL;
  if (reading) {
    *reading = (struct reading){(char *)start + skipped, (size - skipped) / page * page, owner, release};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int started = pthread_create(&thread, NULL, read_ahead, reading) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started) {
      pthread_detach(thread);
      return;
    }
    free(reading);
  }
  release(owner);
}

int apus_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

long long apus_memory_size(int descriptor) {
  int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & SEALS) != SEALS) return -1;
  // Huge pages have seals too, but a reader that writes into its own copy could find none left.
  struct statfs system;
  struct stat status;
  if (fstatfs(descriptor, &system) != 0 || system.f_type != TMPFS_MAGIC) return -1;
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) ? (long long)status.st_size : -1;
}

union control {
  struct cmsghdr head;
  char bytes[CMSG_SPACE(sizeof(int) * APUS_MOST_DESCRIPTORS)];
};

long apus_send_descriptors(int socket, const void *bytes, size_t size, const int *descriptors, int count) {
  if (count < 0 || count > APUS_MOST_DESCRIPTORS) {
    errno = EMSGSIZE;
    return -1;
  }
  union control control;
  struct iovec piece = {.iov_base = (void *)bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    memcpy(CMSG_DATA(head), descriptors, sizeof(int) * (size_t)count);
  }
  return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

long apus_receive_descriptors(int socket, void *bytes, size_t room, int *descriptors, int *count) {
  union control control;
  struct iovec piece = {.iov_base = bytes, .iov_len = room};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *count = 0;
  ssize_t size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  if (size < 0) return size;
  int found = 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    size_t these = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t index = 0; index < these; index++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(head) + index * sizeof(int), sizeof descriptor);
      if (found < APUS_MOST_DESCRIPTORS) descriptors[found++] = descriptor;
      else close(descriptor);
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (int index = 0; index < found; index++) close(descriptors[index]);
    *count = -1;
  } else {
    *count = found;
  }
  return size;
}
