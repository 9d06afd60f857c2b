import Transport

/// Binds sockets to the ports that were asked for, in order, and to free ones where nothing was asked or all are used up.
struct PortPool {
  private var asked: [Int]
  private let common: Common
  private let places: Places
  /// Of all ports that were bound: to be kept as long as their sockets.
  private(set) var guards: [PortGuard] = []

  /// Where sockets are bound.
  struct Places {
    /// Who may connect by TCP.
    var admission = TCPListener.Admission.anybody
    /// The folder of local sockets, each named after its port.
    var local: LocalDirectory?
    /// For clients of this very process.
    var inProcess: InProcess?
  }

  /// Ports that both sides draw from.
  final class Common {
    fileprivate var ports: [Int]
    init(_ ports: [Int]) { self.ports = ports }
  }

  /// - Parameters:
  ///   - own: this side's ports.
  ///   - common: taken when the own are used up.
  ///   - places: where sockets are bound, beside their port.
  init(own: [Int], common: Common, places: Places) {
    asked = own
    self.common = common
    self.places = places
  }

  /// - Parameters:
  ///   - fixed: the only port that will do: a file that is reused names it.
  ///   - inProcess: for a socket that clients of this process use, though it is not of their side.
  /// - Returns: the port.
  mutating func bind(
    _ socket: borrowing Socket, ip: String, fixed: Int? = nil, inProcess: InProcess? = nil, purpose: String
  ) throws(ControllerError) -> Int {
    let port = try listen(socket, ip: ip, fixed: fixed, purpose: purpose)
    do throws(ZeroMQError) {
      if let local = places.local { try socket.bindLocal(LocalDirectory.file(String(port), in: local.path)) }
      if let inProcess = inProcess ?? places.inProcess { try socket.bind(inProcess.endpoint(port: port)) }
    } catch { throw ControllerError(.messaging, "cannot listen for \(purpose) on this host: \(error)") }
    return port
  }

  /// The same port at a second address.
  mutating func bindAgain(_ socket: borrowing Socket, ip: String, port: Int, purpose: String) throws(ControllerError) {
    do { _ = try bind(socket, ip, port) } catch {
      throw ControllerError(error.isAddressInUse ? .addressInUse : .messaging, "cannot listen for \(purpose): \(error)")
    }
  }

  private mutating func bind(_ socket: borrowing Socket, _ ip: String, _ port: Int) throws(ZeroMQError) -> Int {
    let listener = try TCPListener(address: ip, port: port, admission: places.admission)
    let port = listener.port
    guards.append(PortGuard(of: listener))
    try socket.bind(listener)
    return port
  }

  private mutating func listen(_ socket: borrowing Socket, ip: String, fixed: Int?, purpose: String) throws(ControllerError) -> Int
  {
    if let fixed {
      do { return try bind(socket, ip, fixed) } catch {
        throw ControllerError(
          error.isAddressInUse ? .addressInUse : .messaging,
          "cannot listen for \(purpose) on port \(fixed), which the connection file that is reused names: \(error). "
            + "Stop the process that has it, or start without --reuse.")
      }
    }
    var taken: [Int] = []
    while let port = asked.isEmpty ? common.ports.first : asked.first {
      if asked.isEmpty { common.ports.removeFirst() } else { asked.removeFirst() }
      guard (1...65_535).contains(port) else { throw ControllerError(.configuration, "\(port) is no port: ports are 1 to 65535") }
      do { return try bind(socket, ip, port) } catch {
        guard error.isAddressInUse else { throw ControllerError(.messaging, "cannot listen for \(purpose): \(error)") }
        taken.append(port)
      }
    }
    if !taken.isEmpty {
      throw ControllerError(
        .addressInUse,
        "cannot listen for \(purpose): the ports \(taken.map(String.init).joined(separator: ", ")) are in use. Give others with --ports, or none for free ones."
      )
    }
    do { return try bind(socket, ip, 0) } catch {
      throw ControllerError(.messaging, "cannot listen for \(purpose): \(error). Is \(ip) an address of this machine?")
    }
  }
}
