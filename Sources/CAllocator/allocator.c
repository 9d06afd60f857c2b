#include "allocator.h"

// Large messages get memory that is already mapped: freed pages stay (dirty_decay_ms:-1), also those of large blocks
// (oversize_threshold:0), and event loops give them back after ten seconds (FreedMemory). jemalloc's own decay knows only
// whole blocks: it gives the one large block back at once. With glibc, which does the same, each message of 100 MB costs 25 000
// page faults, more than its two copies.
//
// What stays grows together into large blocks, which jemalloc by itself would not cut up for small ones (lg_extent_max_active_fit:6 is its
// standard, 64 times the size that is asked for): an engine that printed for a minute grew by all that it had printed.
__attribute__((visibility("default"), used)) const char *malloc_conf = "dirty_decay_ms:-1,oversize_threshold:0,lg_extent_max_active_fit:40";
