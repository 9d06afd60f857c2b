/// Whether a socket is open still, for others that hold its handle.
///
/// A monitor may live on another thread than its socket. libzmq starts and stops monitors under a lock of its own, so that only the socket's
/// end has to be kept apart from it.
final class SocketLife: Sendable {
  private let isOpen = Mutex(true)

  func end(_ close: () -> Void) {
    isOpen.withLock { isOpen in
      isOpen = false
      close()
    }
  }

  func whileOpen(_ body: () -> Void) { isOpen.withLock { if $0 { body() } } }
}
