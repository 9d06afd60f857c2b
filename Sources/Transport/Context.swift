import CZeroMQ

/// The room that all sockets of one party share: libzmq's I/O threads and its `inproc` names.
///
/// `@unchecked Sendable`: a libzmq context is thread safe by contract (zmq(7)), and the pointer never changes.
public final class Context: @unchecked Sendable {
  let handle: UnsafeMutableRawPointer
  /// `ZMQ_ZERO_COPY_RECV`: the header declares it with the draft API only, the library has it since 4.3. One that has not goes on as it did.
  private static let zeroCopyReceive: Int32 = 10

  /// - Parameters:
  ///   - ioThreads: threads that move bytes. One is enough for two cores; CURVE on larger machines gains from more.
  ///   - maxSockets: sockets that may be open at once in this process. Peers do not count.
  public init(ioThreads: Int = 1, maxSockets: Int = 1023) throws(ZeroMQError) {
    guard let handle = zmq_ctx_new() else { throw ZeroMQError.last() }
    self.handle = handle
    zmq_ctx_set(handle, ZMQ_IO_THREADS, Int32(clamping: ioThreads))
    zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, Int32(clamping: maxSockets))
    // Received frames would otherwise point into buffers of 8 KiB and more, each of which lives as long as the last frame in it: a queue of
    // small tasks took half as much memory again.
    zmq_ctx_set(handle, Self.zeroCopyReceive, 0)
  }

  /// Blocks until every socket is closed; sockets hold the context, so by then they are.
  deinit { zmq_ctx_term(handle) }
}
