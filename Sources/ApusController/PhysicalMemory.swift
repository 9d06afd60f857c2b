import Glibc

enum PhysicalMemory {
  /// Of this machine; 4 GiB where the system does not say.
  static let bytes: Int = {
    let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    return pages > 0 && size > 0 ? pages * size : 4 << 30
  }()
}
