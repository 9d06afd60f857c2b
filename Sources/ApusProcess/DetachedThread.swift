import Glibc

/// A thread that runs one closure, and that nobody waits for.
public enum DetachedThread {
  /// - Parameter stackSize: in bytes.
  /// - Returns: `nil`, or why the system refused it; the closure then never runs.
  public static func start(stackSize: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) -> String? {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, stackSize)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    var thread = pthread_t()
    let work = Unmanaged.passRetained(Work(body))
    let failure = pthread_create(
      &thread, &attributes,
      { raw in
        guard let raw else { return nil }
        Unmanaged<Work>.fromOpaque(raw).takeRetainedValue().body()
        return nil
      }, work.toOpaque())
    guard failure != 0 else { return nil }
    work.release()
    return String(cString: strerror(failure))
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
