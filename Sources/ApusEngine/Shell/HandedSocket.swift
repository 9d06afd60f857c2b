import Transport

/// A socket that changes hands between the engine's two threads.
///
/// `@unchecked Sendable`: libzmq allows a socket to move to another thread behind a full fence. Both places that hold one give it: the
/// mailbox (its mutex orders putting before taking, and only the taker uses the socket) and the publisher (used under its mutex only).
final class HandedSocket: @unchecked Sendable {
  let socket: Socket
  init(_ socket: consuming Socket) { self.socket = socket }
}
