#ifndef APUS_ALLOCATOR_H
#define APUS_ALLOCATOR_H

/// How jemalloc is to keep memory; it reads this variable itself, by this name, when the program starts.
extern const char *malloc_conf;

#endif
