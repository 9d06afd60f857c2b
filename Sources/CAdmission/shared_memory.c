#define _GNU_SOURCE
#include "shared_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
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
