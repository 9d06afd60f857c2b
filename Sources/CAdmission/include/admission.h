// Who may connect to this process's guarded ports: looked at when libzmq accepts, before it reads a byte.
#pragma once
/// Rules for connections to a guarded port.
enum {
  /// A peer on this host must be of our own user. Peers on other hosts are not asked.
  APUS_ADMIT_OWN_USER = 1,
};

/// Guards a listening TCP port, before it is given to libzmq. Connections to it are counted as well: 64
/// descriptors are kept back, and those of others than our own user may take three quarters of the rest.
void apus_admission_guard(int port, int rules);

/// Nobody of ours listens there any more: the port may be anybody's.
void apus_admission_unguard(int port);

/// Whether guarded ports are guarded: libzmq's calls of `accept4` come here. They do in programs that are linked with this file, and do
/// not in a library that is loaded later.
int apus_admission_is_in_place(void);

/// The user at the other end of a TCP connection between two sockets of this host.
/// Returns 1 and the user, 0 if the other end is on another host, -1 if the system does not say.
int apus_tcp_peer_user(int descriptor, unsigned int *user);

/// The number that a socket has in the system for as long as it lives; 0 if the descriptor is none.
unsigned long long apus_socket_inode(int descriptor);

/// Bytes in a socket's queue for sending: not sent, or not confirmed.
int apus_unsent_bytes(int descriptor);
