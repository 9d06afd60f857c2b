#ifndef APUS_PROGRAM_IMAGE_H
#define APUS_PROGRAM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/// Where the program itself (not its libraries) lies in this process's memory.
typedef struct {
  /// What is added to the addresses in the file; another one at each start.
  uintptr_t base;
  /// The executable code: from its first byte to the byte behind the last. Both 0 if it was not found.
  uintptr_t code_start;
  uintptr_t code_end;
  /// Everything that is loaded of it, segment by segment; `segment_count` of them.
  uintptr_t segment_start[16];
  uintptr_t segment_end[16];
  size_t segment_count;
  /// The note that the linker made of the whole program's contents; as bytes, `build_id_size` of them, 0 if there is none.
  unsigned char build_id[64];
  size_t build_id_size;
} apus_program_image;

/// Reads it from the headers that the loader keeps.
apus_program_image apus_read_program_image(void);

/// Where a symbol of the running program comes from: its address and, as the loader wrote it, the path of the program or the library
/// that defines it. Both null if nothing does.
typedef struct {
  void *address;
  const char *file;
} apus_symbol_origin;

apus_symbol_origin apus_origin_of_symbol(const char *name);

#endif
