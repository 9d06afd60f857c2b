package import ApusProcess
import CProgramImage

/// The memory allocator that this program runs with, if it is one that other programs can be started with too: jemalloc as a shared library.
///
/// Engines get it because of what they do all day: take large messages and make large temporary arrays. The C library gives such
/// blocks back at once, and the next one costs a page fault for each 4 KiB: more than the copies of a message.
package struct Allocator: Sendable, Hashable {
  /// Name of the variable that tells the engine what was added to its environment (the library, and the settings if they were
  /// added too), so that it does not pass them on to its own children.
  private static let mark = "APUS_PRELOADED"
  /// Variable by which people decide: `system` leaves engines with the allocator of their system.
  private static let choice = "APUS_ENGINE_ALLOCATOR"

  let library: String
  /// In the form of jemalloc's MALLOC_CONF.
  let settings: String

  package init(library: String, settings: String) {
    self.library = library
    self.settings = settings
  }

  /// - Returns: nil for what cannot be preloaded: a path with a space, and the program itself, into which jemalloc may be linked.
  init?(preloading library: String) {
    guard library.hasPrefix("/"), library.contains(".so"), !library.contains(" ") else { return nil }
    let settings = apus_origin_of_symbol("malloc_conf").address?.load(as: UnsafePointer<CChar>?.self)
    self.init(library: library, settings: settings.map { String(cString: $0) } ?? "")
  }

  static let ofThisProgram: Allocator? = apus_origin_of_symbol("mallctl").file.flatMap {
    Allocator(preloading: String(cString: $0))
  }

  /// The environment of a program that is to run with it. What people set themselves stays and wins.
  package func added(to given: Environment) -> Environment {
    guard given[Self.choice] != "system" else { return given }
    var environment = given
    environment["LD_PRELOAD"] = (given["LD_PRELOAD"].map { "\($0):" } ?? "") + library
    environment[Self.mark] = library
    if given["MALLOC_CONF"] == nil {
      environment["MALLOC_CONF"] = settings
      environment[Self.mark] = "\(library) \(settings)"
    }
    return environment
  }
}
