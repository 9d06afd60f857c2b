import CZeroMQ

extension Socket {
  /// Waits until this socket or a plain descriptor is readable: for a thread that is not an `EventLoop`'s.
  ///
  /// - Parameters:
  ///   - other: one more descriptor, or -1.
  ///   - milliseconds: at most; -1 is for ever.
  /// - Returns: false when the time is over.
  /// - Throws: `isInterrupted` when a signal arrived, so that its handler may run.
  public borrowing func waitReadable(or descriptor: Int32, _ other: Int32 = -1, milliseconds: Int) throws(ZeroMQError) -> Bool {
    consumedEdge.raise()
    let count: Int32 = other < 0 ? 2 : 3
    let ready = withUnsafeTemporaryAllocation(of: zmq_pollitem_t.self, capacity: 3) { items -> Int32 in
      items.initializeElement(at: 0, to: zmq_pollitem_t(socket: handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
      items.initializeElement(at: 1, to: zmq_pollitem_t(socket: nil, fd: descriptor, events: Int16(ZMQ_POLLIN), revents: 0))
      items.initializeElement(at: 2, to: zmq_pollitem_t(socket: nil, fd: other, events: Int16(ZMQ_POLLIN), revents: 0))
      guard milliseconds != 0 else { return zmq_poll(items.baseAddress, count, 0) }
      // As an event loop does.
      var watch = BriefWatch()
      repeat {
        let found = zmq_poll(items.baseAddress, count, 0)
        if found != 0 { return found }
      } while watch.goesOn()
      return zmq_poll(items.baseAddress, count, milliseconds)
    }
    if ready < 0 { throw ZeroMQError(code: zmq_errno(), action: "poll") }
    return ready > 0
  }

  /// Takes in what libzmq's threads have reported, of room in queues above all: a send alone looks for that now and then only.
  public borrowing func refresh() {
    var events: Int32 = 0
    var size = MemoryLayout<Int32>.size
    zmq_getsockopt(handle, ZMQ_EVENTS, &events, &size)
  }

  /// A descriptor for other event loops. It is edge-triggered: after it was readable, receive until nothing is left.
  public var pollDescriptor: Int32 {
    borrowing get {
      var descriptor: Int32 = -1
      var size = MemoryLayout<Int32>.size
      return zmq_getsockopt(handle, ZMQ_FD, &descriptor, &size) == 0 ? descriptor : -1
    }
  }
}

extension ZeroMQError {
  /// A signal arrived while waiting.
  public var isInterrupted: Bool { code == EINTR }
}
