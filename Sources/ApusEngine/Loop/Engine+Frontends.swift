import ApusMessaging
import CZeroMQ
import Glibc
import Transport

/// Ports for Jupyter frontends: a running engine as a kernel that `jupyter console --existing` finds (`ipyparallel.bind_kernel`).
extension Engine {
  /// The endpoints of the two channels that the loop owns, and of the heart.
  struct FrontendPorts: Sendable {
    var control = ""
    var heart = ""
    var input = ""
  }

  private static let anyPort = "tcp://127.0.0.1:*"

  /// Waits for the loop; call it from another thread.
  nonisolated func bindFrontends() throws(ZeroMQError) -> FrontendPorts {
    let answer = Answer<Result<FrontendPorts, ZeroMQError>>()
    perform { engine in
      do throws(ZeroMQError) { answer.give(.success(try engine.openFrontends())) } catch { answer.give(.failure(error)) }
    }
    return try answer.wait().get()
  }

  private func openFrontends() throws(ZeroMQError) -> FrontendPorts {
    guard let context = context.withLock({ $0 }) else { throw ZeroMQError(code: ENOTSUP, action: "bind after the end") }
    guard !(route.isTCP && connection.curveServerKey?.isEmpty == false) else {
      throw ZeroMQError(code: ENOTSUP, action: "bind a kernel whose cluster is encrypted by CURVE")
    }
    var ports = FrontendPorts()
    ports.control = try control?.bind(Self.anyPort) ?? ""
    let heart = try Socket(.router, in: context)
    ports.heart = try heart.bind(Self.anyPort)
    let input = try Socket(.router, in: context)
    ports.input = try input.bind(Self.anyPort)
    forget(.frontendHeart)
    readers[.frontendHeart] = loop.whenReadable(heart) { [weak self] in self?.assumeIsolated { $0.echoFrontendHeart() } }
    frontendHeart = consume heart
    frontendInput = consume input
    return ports
  }

  private func echoFrontendHeart() {
    while let frames = (try? frontendHeart?.receive()) ?? nil { try? frontendHeart?.send(frames) }
  }
}

/// One value that another thread hands over, once.
private final class Answer<Value: Sendable>: Sendable {
  private struct Box: Sendable { var value: Value? }
  private let box = Mutex(Box())
  private let descriptor = apus_eventfd()

  deinit { close(descriptor) }

  func give(_ value: Value) {
    box.withLock { $0.value = value }
    _ = eventfd_write(descriptor, 1)
  }

  func wait() -> Value {
    while true {
      if let value = box.withLock({ $0.value }) { return value }
      var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&item, 1, -1)
    }
  }
}
