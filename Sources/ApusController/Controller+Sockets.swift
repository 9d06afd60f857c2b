import ApusMessaging
import Logging
import Transport

/// A socket that is made in one place and moved to its actor in another.
///
/// `sending` without the compiler's proof: it is filled with a socket that nothing else refers to, and gives it away once.
struct Handover<Value: ~Copyable>: ~Copyable {
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
    var query: Handover<BoundedRouter>
    var monitor: Handover<SocketMonitor>
    var engines: EngineSide
    var heart: HeartSide
    var leaves: Handover<[BroadcastLeaf]>
    var clients: ClientSide
    let guards: [PortGuard]
    private let ports: Ports

    /// What engines connect to: the backs of relays and schedulers.
    struct EngineSide: ~Copyable {
      var control: Handover<EngineSocket>
      var mux: Handover<EngineSocket>
      var task: Handover<EngineSocket>
      var output: Handover<Socket>
    }

    struct HeartSide: ~Copyable {
      var ping: Handover<Socket>
      var pong: Handover<Socket>
    }

    /// What clients connect to: the fronts of relays and schedulers, and the hub's announcements.
    struct ClientSide: ~Copyable {
      var control: Handover<BoundedRouter>
      var mux: Handover<BoundedRouter>
      var task: Handover<BoundedRouter>
      var output: Handover<PublisherSocket>
      var notifier: Handover<PublisherSocket>
      var broadcast: Handover<BoundedRouter>
    }

    struct Ports {
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

    init(_ plan: Controller.Plan, logger: Logger) throws {
      var binder = SocketBinder(plan, logger: logger)
      let query = try binder.registration()
      let monitor = try SocketMonitor(of: query.socket, in: plan.context, name: "registration")
      let engines = try binder.engineSide()
      let heart = try binder.heartSide()
      let leaves = try binder.leaves()
      let clients = try binder.clientSide()
      // Only now: half of a struct that cannot be copied cannot be taken back.
      self.query = Handover(query)
      self.monitor = Handover(monitor)
      self.engines = engines
      self.heart = heart
      self.leaves = Handover(leaves)
      self.clients = clients
      ports = binder.ports
      guards = binder.guards
    }

    func files(_ plan: Controller.Plan) -> ConnectionFiles {
      let configuration = plan.configuration
      func file(_ ip: String, ssh: String, _ port: (Int, Int, Int, Int), _ side: ConnectionFile.Side) -> ConnectionFile {
        ConnectionFile(
          ssh: ssh, interface: "tcp://\(ip)", registration: ports.registration, control: port.0, mux: port.1, task: port.2,
          iopub: port.3, side: side, key: plan.key, curveServerKey: plan.curve?.publicKey, location: plan.location,
          localDirectory: plan.local?.path)
      }
      return ConnectionFiles(
        client: file(
          configuration.clientIP, ssh: configuration.clientSSH,
          (ports.control.client, ports.mux.client, ports.task.client, ports.iopub.client),
          .client(notification: ports.notification, broadcast: ports.broadcast, taskScheme: configuration.scheme.rawValue)),
        engine: file(
          configuration.engineIP, ssh: configuration.engineSSH,
          (ports.control.engine, ports.mux.engine, ports.task.engine, ports.iopub.engine),
          .engine(heartbeatPing: ports.heartPing, heartbeatPong: ports.heartPong, broadcast: ports.leaves)),
        curve: plan.curve)
    }
  }
}
