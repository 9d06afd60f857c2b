// Memory that processes of one host pass to each other as a descriptor, beside a message of a local socket.
#pragma once
#include <stddef.h>

/// New memory without a name, that can be sealed. Returns its descriptor, -1 if the system has none to give.
int apus_memory_create(void);

/// Writes all of it behind what was written before. Returns 0, or -1 if there is no memory.
int apus_memory_append(int descriptor, const void *bytes, size_t size);

/// What one thread fills of a large frame.
struct apus_piece {
  int descriptor;
  const void *bytes;
  size_t size;
};

/// Fills and seals empty memories, each on a thread of its own. Returns 0 when all are, or -1 if there is no memory.
int apus_memory_fill(const struct apus_piece *pieces, int count);

/// Maps memories for reading, one behind the other: each but the last has whole pages. Writing is into pages of one's own.
/// Returns `MAP_FAILED` if there is no room.
void *apus_memory_map(const struct apus_piece *pieces, int count);

/// Unmaps it. Of much memory this takes as long as a small copy: another thread does it then, and this one goes on.
void apus_memory_unmap(void *start, size_t size);

/// Has the system find the pages of mapped memory that is about to be read, on a thread of its own. It calls `release` with `owner`, which keeps the memory
/// mapped, when it is done, or at once where there is no thread to be had.
void apus_memory_read_ahead(const void *start, size_t size, void *owner, void (*release)(void *));

/// The processors that this thread may run on.
int apus_processors(void);

/// From now on nobody can change it or its size. Returns 0 when that is so.
int apus_memory_seal(int descriptor);

/// The size of memory that nobody can change any more, or -1 for anything else: a file, a pipe, memory that could shrink under a reader.
long long apus_memory_size(int descriptor);

/// Sends a message with descriptors beside it, without waiting. Returns what `sendmsg` does.
long apus_send_descriptors(int socket, const void *bytes, size_t size, const int *descriptors, int count);

/// The most descriptors that are taken with one message.
enum { APUS_MOST_DESCRIPTORS = 64 };

/// Receives a message and the descriptors beside it, without waiting.
/// - descriptors: room for `APUS_MOST_DESCRIPTORS`; they are the caller's to close.
/// - count: how many came, or -1 if some were lost because there were more, or this process can have no more.
/// Returns the size that the message has, which may be larger than the room.
long apus_receive_descriptors(int socket, void *bytes, size_t room, int *descriptors, int *count);
