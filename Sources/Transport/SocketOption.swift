import CZeroMQ

/// A typed socket option: `try socket.set(.backlog, 4096)`. Meanings are in zmq_setsockopt(3).
public struct SocketOption<Value>: Sendable {
  let raw: Int32
}

extension SocketOption where Value == Int32 {
  /// Milliseconds that unsent messages outlive a closed socket. Sockets start at 0.
  public static var linger: Self { .init(raw: ZMQ_LINGER) }
  /// Messages queued for sending before the socket refuses or drops; 0 is no limit. Sockets start at 0.
  public static var sendHighWaterMark: Self { .init(raw: ZMQ_SNDHWM) }
  public static var receiveHighWaterMark: Self { .init(raw: ZMQ_RCVHWM) }
  /// Connections that may wait to be accepted. libzmq's 100 loses SYNs when thousands of engines start together.
  public static var backlog: Self { .init(raw: ZMQ_BACKLOG) }
  /// ROUTER: report peers that are not connected instead of dropping their messages.
  public static var routerMandatory: Self { .init(raw: ZMQ_ROUTER_MANDATORY) }
  /// ROUTER: a newcomer with an identity in use takes it over.
  public static var routerHandover: Self { .init(raw: ZMQ_ROUTER_HANDOVER) }
  /// Milliseconds between ZMTP pings, and how long a silent peer may take; 0 is off.
  public static var heartbeatInterval: Self { .init(raw: ZMQ_HEARTBEAT_IVL) }
  public static var heartbeatTimeout: Self { .init(raw: ZMQ_HEARTBEAT_TIMEOUT) }
  /// The system's own probes of idle TCP connections, which a stopped process answers too: 1 is on; seconds; probes.
  public static var keepalive: Self { .init(raw: ZMQ_TCP_KEEPALIVE) }
  public static var keepaliveIdle: Self { .init(raw: ZMQ_TCP_KEEPALIVE_IDLE) }
  public static var keepaliveInterval: Self { .init(raw: ZMQ_TCP_KEEPALIVE_INTVL) }
  public static var keepaliveCount: Self { .init(raw: ZMQ_TCP_KEEPALIVE_CNT) }
  /// Milliseconds that sent bytes may stay unconfirmed by the other host.
  public static var maximumRetransmission: Self { .init(raw: ZMQ_TCP_MAXRT) }
  /// XPUB: a message is refused (`isFull`) where a subscriber's queue is full, and not dropped for that subscriber.
  public static var xpubNoDrop: Self { .init(raw: ZMQ_XPUB_NODROP) }
  /// XPUB: report every subscription, also those already known.
  public static var xpubVerbose: Self { .init(raw: ZMQ_XPUB_VERBOSE) }
  /// Milliseconds before the first attempt to connect again, and the most it grows to.
  public static var reconnectInterval: Self { .init(raw: ZMQ_RECONNECT_IVL) }
  public static var reconnectIntervalMaximum: Self { .init(raw: ZMQ_RECONNECT_IVL_MAX) }
  public static var curveServer: Self { .init(raw: ZMQ_CURVE_SERVER) }
  /// Milliseconds that a connection may take until it has said, and proved, what it is.
  public static var handshakeInterval: Self { .init(raw: ZMQ_HANDSHAKE_IVL) }
  /// A descriptor that listens already, for the next bind; -1 is none.
  static var listeningDescriptor: Self { .init(raw: ZMQ_USE_FD) }
  public static var ipv6: Self { .init(raw: ZMQ_IPV6) }
}

extension SocketOption where Value == [UInt8] {
  /// How a ROUTER at the other end knows this socket.
  public static var identity: Self { .init(raw: ZMQ_ROUTING_ID) }
  /// SUB: messages whose first frame starts so are received; empty is all.
  public static var subscribe: Self { .init(raw: ZMQ_SUBSCRIBE) }
  public static var unsubscribe: Self { .init(raw: ZMQ_UNSUBSCRIBE) }
}

extension SocketOption where Value == String {
  /// Keys in Z85, 40 characters.
  public static var curveSecretKey: Self { .init(raw: ZMQ_CURVE_SECRETKEY) }
  public static var curvePublicKey: Self { .init(raw: ZMQ_CURVE_PUBLICKEY) }
  public static var curveServerKey: Self { .init(raw: ZMQ_CURVE_SERVERKEY) }
}
