#define _GNU_SOURCE
#include "program_image.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

static size_t padded(size_t size) { return (size + 3) & ~(size_t)3; }

static void read_notes(const char *note, const char *end, apus_program_image *image) {
  while (note + sizeof(ElfW(Nhdr)) <= end) {
    const ElfW(Nhdr) *header = (const ElfW(Nhdr) *)note;
    const char *name = note + sizeof *header;
    const char *content = name + padded(header->n_namesz);
    if (content + header->n_descsz > end) return;
    if (header->n_type == NT_GNU_BUILD_ID && header->n_namesz == 4 && memcmp(name, "GNU", 4) == 0 &&
        header->n_descsz <= sizeof image->build_id) {
      memcpy(image->build_id, content, header->n_descsz);
      image->build_id_size = header->n_descsz;
      return;
    }
    note = content + padded(header->n_descsz);
  }
}

/// The loader names the program first: the answer is known after one call.
static int read_object(struct dl_phdr_info *info, size_t size, void *result) {
  (void)size;
  apus_program_image *image = result;
  image->base = info->dlpi_addr;
  for (int index = 0; index < info->dlpi_phnum; index++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[index];
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && image->code_end == 0) {
      image->code_start = start;
      image->code_end = start + segment->p_memsz;
    }
    if (segment->p_type == PT_LOAD && image->segment_count < sizeof image->segment_start / sizeof *image->segment_start) {
      image->segment_start[image->segment_count] = start;
      image->segment_end[image->segment_count++] = start + segment->p_memsz;
    }
    if (segment->p_type == PT_NOTE && image->build_id_size == 0) {
      read_notes((const char *)start, (const char *)start + segment->p_memsz, image);
    }
  }
  return 1;
}

apus_program_image apus_read_program_image(void) {
  apus_program_image image;
  memset(&image, 0, sizeof image);
  dl_iterate_phdr(read_object, &image);
  return image;
}

apus_symbol_origin apus_origin_of_symbol(const char *name) {
  apus_symbol_origin origin = {dlsym(RTLD_DEFAULT, name), NULL};
  Dl_info found;
  if (origin.address != NULL && dladdr(origin.address, &found) != 0) { origin.file = found.dli_fname; }
  return origin;
}
