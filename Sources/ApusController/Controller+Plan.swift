import ApusMessaging
import Glibc
import Logging
import Transport

extension Controller {
  /// What is decided before a socket is opened: keys, addresses, and which ports are fixed.
  struct Plan {
    let configuration: ControllerConfiguration
    let reused: ConnectionFiles?
    let key: String
    let curve: CurveKeyPair?
    let context: Context

    init(_ configuration: ControllerConfiguration, logger: Logger) throws(ControllerError) {
      self.configuration = configuration
      guard (0...6).contains(configuration.broadcastDepth) else {
        throw ControllerError(.configuration, "the broadcast tree may be 0 to 6 levels deep, not \(configuration.broadcastDepth)")
      }
      guard configuration.heartbeatPeriod > .zero else {
        throw ControllerError(.configuration, "the heartbeat period must be positive")
      }
      reused = configuration.reuseFiles ? ConnectionFiles.reusable(configuration, logger: logger) : nil
      do {
        if let inProcess = configuration.inProcess {
          context = inProcess.context
        } else {
          context = try Context(ioThreads: max(1, configuration.ioThreads))
        }
        curve = configuration.enableCurve ? try configuration.curveKeys ?? CurveKeyPair.generate() : nil
      } catch { throw ControllerError(.messaging, "cannot set up messaging: \(error)") }
      // With CURVE the messages are authentic already; a key that was asked for is used all the same.
      key = configuration.key ?? reused?.client.key ?? (configuration.enableCurve ? "" : SessionID.random().text)
    }

    var location: String {
      if let location = configuration.location { return location }
      if let reused { return reused.client.location }
      var name = [CChar](repeating: 0, count: 256)
      guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
      return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }
}

/// A socket that is made in one place and moved to its actor in another.
///
/// `sending` without the compiler's proof: a slot is filled with a socket that nothing else refers to, and gives it away once.
struct Slot<Value: ~Copyable>: ~Copyable {
  private nonisolated(unsafe) var value: Value?
  init(_ value: consuming Value) { self.value = consume value }

  mutating func take() -> sending Value {
    nonisolated(unsafe) var taken: Value? = nil
    swap(&taken, &value)
    guard let socket = taken else { preconditionFailure("a socket has one owner") }
    return socket
  }
}

extension Controller.Plan {
  /// All bound sockets, in the order in which ipyparallel takes its ports.
  struct Sockets: ~Copyable {
    var query: Slot<Socket>
    var monitor: Slot<SocketMonitor>
    var notifier: Slot<Socket>
    var heartPing: Slot<Socket>
    var heartPong: Slot<Socket>
    var controlFront: Slot<Socket>
    var controlBack: Slot<EngineSocket>
    var muxFront: Slot<Socket>
    var muxBack: Slot<EngineSocket>
    var taskFront: Slot<Socket>
    var taskBack: Slot<EngineSocket>
    var outputFront: Slot<Socket>
    var outputBack: Slot<Socket>
    var broadcastFront: Slot<Socket>
    var leaves: Slot<[BroadcastLeaf]>
    private let ports: Ports

    private struct Ports {
      var registration = 0
      var control = (client: 0, engine: 0)
      var mux = (client: 0, engine: 0)
      var task = (client: 0, engine: 0)
      var iopub = (client: 0, engine: 0)
      var notification = 0
      var broadcast = 0
      var heartPing = 0
      var heartPong = 0
      var leaves: [Int] = []
    }

    init(_ plan: Controller.Plan) throws {
      let configuration = plan.configuration
      let context = plan.context
      let curve = plan.curve
      func open(_ kind: Socket.Kind, _ identity: String? = nil) throws -> Socket {
        let socket = try Socket(kind, in: context)
        if let identity { try socket.set(.identity, Array(identity.utf8)) }
        try socket.set(.backlog, 4096)
        if let curve { try socket.serveCurve(curve) }
        return socket
      }
      let common = PortPool.Common(configuration.ports)
      var clientPool = PortPool(own: configuration.clientPorts, common: common, inProcess: configuration.inProcess)
      // One list for both sides is consumed by the engines' first.
      var enginePool = PortPool(own: configuration.enginePorts, common: common)
      let (clientIP, engineIP) = (configuration.clientIP, configuration.engineIP)
      let (client, engine) = (plan.reused?.client, plan.reused?.engine)
      var ports = Ports()

      let query = try open(.router)
      try query.set(.routerHandover, 1)
      ports.registration = try enginePool.bind(query, ip: clientIP, fixed: client?.registration, purpose: "registration")
      if engineIP != clientIP, clientIP != "*", clientIP != "0.0.0.0" { try query.bind("tcp://\(engineIP):\(ports.registration)") }
      if let inProcess = configuration.inProcess { try query.bind(inProcess.endpoint(port: ports.registration)) }
      let monitor = try SocketMonitor(of: query, in: context, name: "registration")

      let controlBack = try EngineSocket("control_out", in: context, curve: curve)
      ports.control.engine = try enginePool.bind(
        controlBack.socket, ip: engineIP, fixed: engine?.control, purpose: "control (engines)")
      let muxBack = try EngineSocket("mux_out", in: context, curve: curve)
      ports.mux.engine = try enginePool.bind(muxBack.socket, ip: engineIP, fixed: engine?.mux, purpose: "mux (engines)")
      let taskBack = try EngineSocket(LocalSocket.schedulerIdentity.text, in: context, curve: curve)
      ports.task.engine = try enginePool.bind(taskBack.socket, ip: engineIP, fixed: engine?.task, purpose: "task (engines)")
      let outputBack = try open(.sub)
      try outputBack.set(.subscribe, [])
      ports.iopub.engine = try enginePool.bind(outputBack, ip: engineIP, fixed: engine?.iopub, purpose: "iopub (engines)")
      var (fixedPing, fixedPong, fixedLeaves): (Int?, Int?, [Int]?) = (nil, nil, nil)
      if case .engine(let ping, let pong, let leaves) = engine?.side { (fixedPing, fixedPong, fixedLeaves) = (ping, pong, leaves) }
      let heartPing = try open(.xpub)
      try heartPing.set(.xpubVerbose, 1)
      ports.heartPing = try enginePool.bind(heartPing, ip: engineIP, fixed: fixedPing, purpose: "heartbeats (ping)")
      let heartPong = try open(.router)
      try heartPong.set(.routerHandover, 1)
      ports.heartPong = try enginePool.bind(heartPong, ip: engineIP, fixed: fixedPong, purpose: "heartbeats (pong)")
      var leaves: [BroadcastLeaf] = []
      for index in 0..<(fixedLeaves?.count ?? 1 << configuration.broadcastDepth) {
        let leaf = BroadcastLeaf(try EngineSocket("sub_scheduler_\(index)", in: context, curve: curve))
        ports.leaves.append(
          try enginePool.bind(leaf.socket, ip: engineIP, fixed: fixedLeaves?[index], purpose: "broadcast (engines)"))
        leaves.append(leaf)
      }

      let controlFront = try open(.router, "control_in")
      ports.control.client = try clientPool.bind(controlFront, ip: clientIP, fixed: client?.control, purpose: "control (clients)")
      let muxFront = try open(.router, "mux_in")
      ports.mux.client = try clientPool.bind(muxFront, ip: clientIP, fixed: client?.mux, purpose: "mux (clients)")
      let taskFront = try open(.router, "task_in")
      // Beyond this many unread messages a client's connection is not read: that is how a full queue makes senders wait.
      try taskFront.set(.receiveHighWaterMark, 10_000)
      ports.task.client = try clientPool.bind(taskFront, ip: clientIP, fixed: client?.task, purpose: "task (clients)")
      let outputFront = try open(.xpub, "\(SessionID.random().text)_iopub")
      ports.iopub.client = try clientPool.bind(outputFront, ip: clientIP, fixed: client?.iopub, purpose: "iopub (clients)")
      var (fixedNotification, fixedBroadcast): (Int?, Int?) = (nil, nil)
      if case .client(let notification, let broadcast, _) = client?.side {
        (fixedNotification, fixedBroadcast) = (notification, broadcast)
      }
      // XPUB tells of subscriptions, also of those that another client made before.
      let notifier = try open(.xpub)
      try notifier.set(.xpubVerbose, 1)
      ports.notification = try clientPool.bind(notifier, ip: clientIP, fixed: fixedNotification, purpose: "notifications")
      let broadcastFront = try open(.router, "broadcast_in")
      ports.broadcast = try clientPool.bind(broadcastFront, ip: clientIP, fixed: fixedBroadcast, purpose: "broadcast (clients)")

      // What was said last is still to be heard when the controller stops: replies and notifications get a moment.
      try query.set(.linger, 250)
      try notifier.set(.linger, 250)
      try taskFront.set(.linger, 250)
      try muxFront.set(.linger, 250)

      self.query = Slot(query)
      self.monitor = Slot(monitor)
      self.notifier = Slot(notifier)
      self.heartPing = Slot(heartPing)
      self.heartPong = Slot(heartPong)
      self.controlFront = Slot(controlFront)
      self.controlBack = Slot(controlBack)
      self.muxFront = Slot(muxFront)
      self.muxBack = Slot(muxBack)
      self.taskFront = Slot(taskFront)
      self.taskBack = Slot(taskBack)
      self.outputFront = Slot(outputFront)
      self.outputBack = Slot(outputBack)
      self.broadcastFront = Slot(broadcastFront)
      self.leaves = Slot(leaves)
      self.ports = ports
    }

    func files(_ plan: Controller.Plan) -> ConnectionFiles {
      let configuration = plan.configuration
      func file(_ ip: String, ssh: String, _ port: (Int, Int, Int, Int), _ side: ConnectionFile.Side) -> ConnectionFile {
        ConnectionFile(
          ssh: ssh, interface: "tcp://\(ip)", registration: ports.registration, control: port.0, mux: port.1, task: port.2,
          iopub: port.3,
          side: side, key: plan.key, curveServerKey: plan.curve?.publicKey, location: plan.location)
      }
      return ConnectionFiles(
        client: file(
          configuration.clientIP, ssh: configuration.clientSSH,
          (ports.control.client, ports.mux.client, ports.task.client, ports.iopub.client),
          .client(notification: ports.notification, broadcast: ports.broadcast, taskScheme: configuration.scheme.rawValue)),
        engine: file(
          configuration.engineIP, ssh: configuration.engineSSH,
          (ports.control.engine, ports.mux.engine, ports.task.engine, ports.iopub.engine),
          .engine(heartbeatPing: ports.heartPing, heartbeatPong: ports.heartPong, broadcast: ports.leaves)))
    }
  }
}

extension Controller {
  /// What `registration_reply` says of the engine's ports: not the key, which the reply's reader has already.
  static func connectionInfo(_ engine: ConnectionFile) -> JSONValue {
    guard let all = engine.json.objectValue else { return [:] }
    let told: Set = ["interface", "registration", "control", "mux", "task", "iopub", "hb_ping", "hb_pong", "broadcast"]
    return .object(JSONObject(members: all.members.filter { told.contains($0.key) }))
  }

  static func database(_ configuration: ControllerConfiguration) throws(ControllerError) -> any TaskDatabase {
    switch configuration.database {
    case .none: return NoDatabase()
    case .memory:
      var memory = MemoryDatabase.Configuration()
      memory.recordLimit = max(0, configuration.recordLimit)
      memory.sizeLimit = max(0, configuration.sizeLimit)
      memory.cullFraction = min(max(configuration.cullFraction, 0), 1)
      return MemoryDatabase(memory)
    case .sqlite:
      do {
        var file = SQLiteDatabase.Configuration(path: configuration.sqliteFile ?? "\(configuration.profileDirectory)/tasks.db")
        file.table = configuration.sqliteTable
        return try SQLiteDatabase(file)
      } catch { throw ControllerError(.database, "\(error)") }
    }
  }

  /// The engines of the last controller. A file that is missing or damaged only means that they register anew.
  static func restore(_ state: inout HubState, from path: String, logger: Logger) {
    do {
      let file = try JSONValue(parsing: AtomicFile.read(path))
      var engines: [EngineID: EngineUUID] = [:]
      for (id, uuid) in file["engines"]?.objectValue?.members ?? [] {
        if let number = Int(id), number >= 0, let uuid = uuid.stringValue { engines[EngineID(number)] = EngineUUID(uuid) }
      }
      var kinds: [EngineID: EngineKind] = [:]
      for (id, kind) in file["kinds"]?.objectValue?.members ?? [] {
        if let number = Int(id) { kinds[EngineID(number)] = EngineKind(told: kind) }
      }
      state.restore(engines, kinds: kinds, nextID: max(0, file["next_id"]?.intValue ?? 0))
    } catch { logger.warning("no engines to restore", metadata: ["error": "\(error)"]) }
  }
}
