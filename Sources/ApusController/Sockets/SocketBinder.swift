import ApusMessaging
import Logging
import Transport

/// Makes a controller's sockets and binds them where its plan says.
struct SocketBinder: ~Copyable {
  private let plan: Controller.Plan
  private let logger: Logger
  private var clientPool: PortPool
  private var enginePool: PortPool
  private(set) var ports = Controller.Plan.Sockets.Ports()

  /// What was said last is still to be heard when the controller stops: replies and notifications get so many milliseconds.
  private static let farewell: Int32 = 250
  /// So many milliseconds a connection may take until it has said, and proved, what it is.
  private static let handshake: Int32 = 10_000

  init(_ plan: Controller.Plan, logger: Logger) {
    self.plan = plan
    self.logger = logger
    let configuration = plan.configuration
    let common = PortPool.Common(configuration.ports)
    let admission: TCPListener.Admission = plan.curve == nil ? .ownUserOnThisHost : .anybody
    clientPool = PortPool(
      own: configuration.clientPorts, common: common,
      places: .init(admission: admission, local: plan.local, inProcess: configuration.inProcess))
    // One list for both sides is consumed by the engines' first.
    enginePool = PortPool(own: configuration.enginePorts, common: common, places: .init(admission: admission, local: plan.local))
  }

  /// Of all ports: to be kept as long as the sockets.
  var guards: [PortGuard] { enginePool.guards + clientPool.guards }

  private var client: ConnectionFile? { plan.reused?.client }
  private var engine: ConnectionFile? { plan.reused?.engine }

  /// Encrypted, and with an eye on its connections: before it is bound.
  /// - Parameter pings: whether peers must answer. Engines come back as themselves; of a client that was stopped the results would be lost.
  private func open(_ kind: Socket.Kind, _ identity: String? = nil, pings: Bool = false, linger: Int32 = 0) throws(ZeroMQError)
    -> Socket
  {
    let socket = try Socket(kind, in: plan.context)
    if let identity { try socket.set(.identity, Array(identity.utf8)) }
    try socket.set(.linger, linger)
    try socket.set(.handshakeInterval, Self.handshake)
    try socket.watchConnections(pings: pings)
    if let curve = plan.curve { try socket.serveCurve(curve) }
    return socket
  }

  private func openEngineSocket(_ identity: String) throws(ZeroMQError) -> EngineSocket {
    try EngineSocket(
      try open(.router, identity, pings: true), spoolDirectory: plan.configuration.spoolDirectory, logger: logger)
  }

  private func openClientSocket(_ identity: String? = nil, linger: Int32 = 0) throws(ZeroMQError) -> BoundedRouter {
    try BoundedRouter(
      try open(.router, identity, linger: linger), spoolDirectory: plan.configuration.spoolDirectory, logger: logger)
  }

  mutating func registration() throws -> BoundedRouter {
    let configuration = plan.configuration
    let query = try openClientSocket(linger: Self.farewell)
    ports.registration = try enginePool.bind(
      query.socket, ip: configuration.clientIP, fixed: client?.registration, inProcess: configuration.inProcess,
      purpose: "registration")
    let (clientIP, engineIP) = (configuration.clientIP, configuration.engineIP)
    if engineIP != clientIP, clientIP != "*", clientIP != "0.0.0.0" {
      try enginePool.bindAgain(query.socket, ip: engineIP, port: ports.registration, purpose: "registration (engines)")
    }
    return query
  }

  mutating func engineSide() throws -> Controller.Plan.Sockets.EngineSide {
    let ip = plan.configuration.engineIP
    let control = try openEngineSocket("control_out")
    ports.control.engine = try enginePool.bind(control.socket, ip: ip, fixed: engine?.control, purpose: "control (engines)")
    let mux = try openEngineSocket("mux_out")
    ports.mux.engine = try enginePool.bind(mux.socket, ip: ip, fixed: engine?.mux, purpose: "mux (engines)")
    let task = try openEngineSocket("task_out")
    ports.task.engine = try enginePool.bind(task.socket, ip: ip, fixed: engine?.task, purpose: "task (engines)")
    let output = try open(.sub, pings: true)
    // What this side does not read stays with the engines, whose tasks wait a moment then.
    try output.set(.receiveHighWaterMark, 1000)
    try output.set(.subscribe, [])
    ports.iopub.engine = try enginePool.bind(output, ip: ip, fixed: engine?.iopub, purpose: "iopub (engines)")
    return .init(control: Handover(control), mux: Handover(mux), task: Handover(task), output: Handover(output))
  }

  mutating func heartSide() throws -> Controller.Plan.Sockets.HeartSide {
    var fixed: (ping: Int?, pong: Int?) = (nil, nil)
    if case .engine(let ping, let pong, _) = engine?.side { fixed = (ping, pong) }
    let ip = plan.configuration.engineIP
    let ping = try open(.xpub)
    try ping.set(.xpubVerbose, 1)
    ports.heartPing = try enginePool.bind(ping, ip: ip, fixed: fixed.ping, purpose: "heartbeats (ping)")
    let pong = try open(.router)
    ports.heartPong = try enginePool.bind(pong, ip: ip, fixed: fixed.pong, purpose: "heartbeats (pong)")
    return .init(ping: Handover(ping), pong: Handover(pong))
  }

  mutating func leaves() throws -> [BroadcastLeaf] {
    var fixed: [Int]?
    if case .engine(_, _, let ports) = engine?.side { fixed = ports }
    var leaves: [BroadcastLeaf] = []
    for index in 0..<(fixed?.count ?? 1 << plan.configuration.broadcastDepth) {
      let name = "sub_scheduler_\(index)"
      let leaf = BroadcastLeaf(try openEngineSocket(name), hop: name)
      ports.leaves.append(
        try enginePool.bind(leaf.socket, ip: plan.configuration.engineIP, fixed: fixed?[index], purpose: "broadcast (engines)"))
      leaves.append(leaf)
    }
    return leaves
  }

  mutating func clientSide() throws -> Controller.Plan.Sockets.ClientSide {
    var fixed: (notification: Int?, broadcast: Int?) = (nil, nil)
    if case .client(let notification, let broadcast, _) = client?.side { fixed = (notification, broadcast) }
    let ip = plan.configuration.clientIP
    let control = try openClientSocket("control_in")
    ports.control.client = try clientPool.bind(control.socket, ip: ip, fixed: client?.control, purpose: "control (clients)")
    let mux = try openClientSocket("mux_in", linger: Self.farewell)
    ports.mux.client = try clientPool.bind(mux.socket, ip: ip, fixed: client?.mux, purpose: "mux (clients)")
    let task = try openClientSocket("task_in", linger: Self.farewell)
    // Beyond this many unread messages a client's connection is not read: that is how a full queue makes senders wait.
    try task.socket.set(.receiveHighWaterMark, 10_000)
    ports.task.client = try clientPool.bind(task.socket, ip: ip, fixed: client?.task, purpose: "task (clients)")
    let output = try PublisherSocket(try open(.xpub, "\(SessionID.random().text)_iopub"), of: "output", logger: logger)
    // XPUB tells of subscriptions, also of those that another client made before.
    try output.socket.set(.xpubVerbose, 1)
    ports.iopub.client = try clientPool.bind(output.socket, ip: ip, fixed: client?.iopub, purpose: "iopub (clients)")
    let notifier = try PublisherSocket(
      try open(.xpub, linger: Self.farewell), of: "notifications", limit: 4 * PublisherSocket.limit, logger: logger)
    try notifier.socket.set(.xpubVerbose, 1)
    ports.notification = try clientPool.bind(notifier.socket, ip: ip, fixed: fixed.notification, purpose: "notifications")
    let broadcast = try openClientSocket("broadcast_in")
    ports.broadcast = try clientPool.bind(broadcast.socket, ip: ip, fixed: fixed.broadcast, purpose: "broadcast (clients)")
    return .init(
      control: Handover(control), mux: Handover(mux), task: Handover(task), output: Handover(output), notifier: Handover(notifier),
      broadcast: Handover(broadcast))
  }
}
