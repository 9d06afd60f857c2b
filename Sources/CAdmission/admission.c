// libzmq accepts connections in a thread of its own and asks nobody. Without encryption nothing in its protocol tells who is there, and a
// subscriber of another user would read what it likes. So the one call by which libzmq accepts is answered here: `accept4` of the
// program goes before the C library's in the dynamic linker's order. Only ports that were named are looked at.
#define _GNU_SOURCE
#include "admission.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 65536, GUARDED = 0x80, TRACKED = 1 << 20, RESERVE = 64 };

static _Atomic unsigned char ports[PORTS];

// Under the lock: connections of others, by descriptor, with the inode that tells whether it still is the same connection.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t *others;
static int others_count, others_room;
static atomic_int spare = -1;
static struct timespec swept;

void apus_admission_guard(int port, int rules) {
  if (port > 0 && port < PORTS) atomic_fetch_or(&ports[port], (unsigned char)(GUARDED | rules));
}

void apus_admission_unguard(int port) {
  if (port > 0 && port < PORTS) atomic_store(&ports[port], 0);
}

/// The port of an internet address in host order, 0 for anything else.
static int port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return 0;
}

/// An IPv4 address that came as an IPv6 one becomes what it is.
static void unmap(struct sockaddr_storage *address) {
  if (address->ss_family != AF_INET6) return;
  struct sockaddr_in6 six = *(struct sockaddr_in6 *)address;
  if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) return;
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
  memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
  memset(address, 0, sizeof *address);
  memcpy(address, &four, sizeof four);
}

/// Whether both ends have the address of this host: the loopback network, or the very same address.
static int is_same_host(const struct sockaddr_storage *peer, const struct sockaddr_storage *own) {
  if (peer->ss_family == AF_INET && own->ss_family == AF_INET) {
    const struct in_addr *a = &((const struct sockaddr_in *)peer)->sin_addr, *b = &((const struct sockaddr_in *)own)->sin_addr;
    return (ntohl(a->s_addr) >> 24) == 127 || a->s_addr == b->s_addr;
  }
  if (peer->ss_family == AF_INET6 && own->ss_family == AF_INET6) {
    const struct in6_addr *a = &((const struct sockaddr_in6 *)peer)->sin6_addr, *b = &((const struct sockaddr_in6 *)own)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(a) || memcmp(a, b, sizeof *a) == 0;
  }
  return 0;
}

/// Asks the kernel for the socket whose ends are these, the peer's first.
static int diagnosed_user(const struct sockaddr_storage *peer, const struct sockaddr_storage *own, unsigned int *user) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } ask = {
      .header = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = 1},
      .request = {.sdiag_family = (unsigned char)peer->ss_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u},
  };
  struct inet_diag_sockid *id = &ask.request.id;
  id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  id->idiag_sport = htons((unsigned short)port_of(peer));
  id->idiag_dport = htons((unsigned short)port_of(own));
  if (peer->ss_family == AF_INET) {
    memcpy(id->idiag_src, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    memcpy(id->idiag_dst, &((const struct sockaddr_in *)own)->sin_addr, 4);
  } else {
    memcpy(id->idiag_src, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    memcpy(id->idiag_dst, &((const struct sockaddr_in6 *)own)->sin6_addr, 16);
  }
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (netlink < 0) return 0;
  int found = 0;
  struct timeval patience = {.tv_sec = 1};
  setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  union {
    struct nlmsghdr header;
    char bytes[4096];
  } answer;
  if (send(netlink, &ask, sizeof ask, 0) == (ssize_t)sizeof ask) {
    ssize_t size = recv(netlink, &answer, sizeof answer, 0);
    if (size >= (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)) && answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
      *user = ((struct inet_diag_msg *)NLMSG_DATA(&answer.header))->idiag_uid;
      found = 1;
    }
  }
  close(netlink);
  return found;
}

/// The same from the kernel's table, for systems without that interface. IPv4 only.
static int listed_user(const struct sockaddr_storage *peer, const struct sockaddr_storage *own, unsigned int *user) {
  if (peer->ss_family != AF_INET) return 0;
  FILE *table = fopen("/proc/net/tcp", "re");
  if (!table) return 0;
  char line[512];
  int found = 0;
  const struct sockaddr_in *a = (const struct sockaddr_in *)peer, *b = (const struct sockaddr_in *)own;
  while (!found && fgets(line, sizeof line, table)) {
    unsigned int local, remote, local_port, remote_port, uid;
    if (sscanf(line, " %*u: %8X:%4X %8X:%4X %*X %*X:%*X %*X:%*X %*X %u", &local, &local_port, &remote, &remote_port, &uid) == 5
        && local == a->sin_addr.s_addr && local_port == ntohs(a->sin_port) && remote == b->sin_addr.s_addr
        && remote_port == ntohs(b->sin_port)) {
      *user = uid;
      found = 1;
    }
  }
  fclose(table);
  return found;
}

int apus_tcp_peer_user(int descriptor, unsigned int *user) {
  struct sockaddr_storage peer = {0}, own = {0};
  socklen_t peer_size = sizeof peer, own_size = sizeof own;
  if (getpeername(descriptor, (struct sockaddr *)&peer, &peer_size) != 0) return -1;
  if (getsockname(descriptor, (struct sockaddr *)&own, &own_size) != 0) return -1;
  unmap(&peer);
  unmap(&own);
  if (!is_same_host(&peer, &own)) return 0;
  return diagnosed_user(&peer, &own, user) || listed_user(&peer, &own, user) ? 1 : -1;
}

unsigned long long apus_socket_inode(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

int apus_unsent_bytes(int descriptor) {
  int bytes = 0;
  return ioctl(descriptor, TIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

/// Under the lock: forgets connections of others that have ended. Not more often than ten times a second, whoever asks for it.
static void sweep(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if ((now.tv_sec - swept.tv_sec) * 1000 + (now.tv_nsec - swept.tv_nsec) / 1000000 < 100) return;
  swept = now;
  for (int descriptor = 0; descriptor < others_room; descriptor++) {
    if (others[descriptor] && apus_socket_inode(descriptor) != others[descriptor]) {
      others[descriptor] = 0;
      others_count--;
    }
  }
}

/// Under the lock. Returns whether one more connection of somebody else finds room.
static int count_other(int descriptor, int most) {
  if (descriptor >= TRACKED) return 0;
  if (descriptor >= others_room) {
    int room = descriptor < 1024 ? 1024 : 2 * descriptor;
    ino_t *larger = realloc(others, sizeof(ino_t) * (size_t)room);
    if (!larger) return 0;
    memset(larger + others_room, 0, sizeof(ino_t) * (size_t)(room - others_room));
    others = larger;
    others_room = room;
  }
  // The number was somebody else's before.
  if (others[descriptor]) {
    others[descriptor] = 0;
    others_count--;
  }
  if (others_count >= most) sweep();
  if (others_count >= most) return 0;
  others[descriptor] = apus_socket_inode(descriptor);
  others_count++;
  return 1;
}

/// How many descriptors there may be, and how many of them of others. Asked each time: the limit of a process may be changed.
static void limits(int *all, int *of_others) {
  struct rlimit limit = {0};
  getrlimit(RLIMIT_NOFILE, &limit);
  int most = limit.rlim_cur > TRACKED ? TRACKED : (int)limit.rlim_cur;
  *all = most > 2 * RESERVE ? most - RESERVE : most;
  *of_others = *all / 4 * 3;
}

static int admit(int descriptor, int rules) {
  unsigned int user = 0;
  int known = apus_tcp_peer_user(descriptor, &user);
  int is_own = known == 1 && user == geteuid();
  // Whoever cannot be told apart is nobody of ours.
  if ((rules & APUS_ADMIT_OWN_USER) && known != 0 && !is_own) return 0;
  int all, of_others;
  limits(&all, &of_others);
  if (descriptor >= all) return 0;
  if (is_own) return 1;
  pthread_mutex_lock(&lock);
  int has_room = count_other(descriptor, of_others);
  pthread_mutex_unlock(&lock);
  return has_room;
}

typedef int accept4_function(int, struct sockaddr *, socklen_t *, int);

/// No descriptor is left: a connection that waits is taken with the spare one and closed, or the listener would stay readable for ever and
/// its thread would turn in a circle.
static void turn_away(accept4_function *next, int listener) {
  pthread_mutex_lock(&lock);
  if (spare >= 0) close(spare);
  int descriptor = next(listener, 0, 0, SOCK_CLOEXEC);
  if (descriptor >= 0) close(descriptor);
  spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
  pthread_mutex_unlock(&lock);
}

__attribute__((visibility("default"), used)) int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags) {
  static _Atomic(accept4_function *) system_accept;
  accept4_function *next = atomic_load(&system_accept);
  if (!next) {
    next = (accept4_function *)dlsym(RTLD_NEXT, "accept4");
    if (!next) {
      errno = ENOSYS;
      return -1;
    }
    atomic_store(&system_accept, next);
  }
  struct sockaddr_storage own = {0};
  socklen_t own_size = sizeof own;
  int rules = 0;
  if (getsockname(listener, (struct sockaddr *)&own, &own_size) == 0) rules = atomic_load(&ports[port_of(&own)]);
  if (!(rules & GUARDED)) return next(listener, address, size, flags);
  if (spare < 0) {
    pthread_mutex_lock(&lock);
    if (spare < 0) spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pthread_mutex_unlock(&lock);
  }
  int descriptor = next(listener, address, size, flags);
  if (descriptor < 0) {
    if (errno == EMFILE || errno == ENFILE) {
      turn_away(next, listener);
      errno = ECONNABORTED;
    }
    return descriptor;
  }
  if (admit(descriptor, rules)) return descriptor;
  close(descriptor);
  errno = ECONNABORTED;
  return -1;
}

int apus_admission_is_in_place(void) {
  void *found = dlsym(RTLD_DEFAULT, "accept4");
  return found == (void *)accept4;
}
