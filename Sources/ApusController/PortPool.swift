import Transport

/// Binds sockets to the ports that were asked for, in order, and to free ones where nothing was asked or all are used up.
struct PortPool {
  private var asked: [Int]
  private let common: Common
  private let inProcess: InProcess?

  /// Ports that both sides draw from.
  final class Common {
    fileprivate var ports: [Int]
    init(_ ports: [Int]) { self.ports = ports }
  }

  /// - Parameters:
  ///   - own: this side's ports.
  ///   - common: taken when the own are used up.
  ///   - inProcess: where sockets are bound as well, beside their port.
  init(own: [Int], common: Common, inProcess: InProcess? = nil) {
    asked = own
    self.common = common
    self.inProcess = inProcess
  }

  /// - Parameter fixed: the only port that will do: a file that is reused names it.
  /// - Returns: the port.
  mutating func bind(_ socket: borrowing Socket, ip: String, fixed: Int? = nil, purpose: String) throws(ControllerError) -> Int {
    let port = try listen(socket, ip: ip, fixed: fixed, purpose: purpose)
    guard let inProcess else { return port }
    do { try socket.bind(inProcess.endpoint(port: port)) } catch {
      throw ControllerError(.messaging, "cannot listen for \(purpose) within the process: \(error)")
    }
    return port
  }

  private mutating func listen(_ socket: borrowing Socket, ip: String, fixed: Int?, purpose: String) throws(ControllerError) -> Int
  {
    if let fixed {
      do { try socket.bind("tcp://\(ip):\(fixed)") } catch {
        throw ControllerError(
          error.isAddressInUse ? .addressInUse : .messaging,
          "cannot listen for \(purpose) on port \(fixed), which the connection file that is reused names: \(error). "
            + "Stop the process that has it, or start without --reuse.")
      }
      return fixed
    }
    var taken: [Int] = []
    while let port = asked.isEmpty ? common.ports.first : asked.first {
      if asked.isEmpty { common.ports.removeFirst() } else { asked.removeFirst() }
      // libzmq takes the remainder of a number that is too large.
      guard (1...65_535).contains(port) else { throw ControllerError(.configuration, "\(port) is no port: ports are 1 to 65535") }
      do {
        try socket.bind("tcp://\(ip):\(port)")
        return port
      } catch {
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
    do {
      let endpoint = try socket.bind("tcp://\(ip):*")
      guard let port = endpoint.split(separator: ":").last.flatMap({ Int($0) }) else {
        throw ControllerError(.messaging, "cannot read a port from \(endpoint)")
      }
      return port
    } catch let error as ZeroMQError {
      throw ControllerError(.messaging, "cannot listen for \(purpose): \(error). Is \(ip) an address of this machine?")
    } catch let error as ControllerError { throw error } catch { throw ControllerError(.messaging, "\(error)") }
  }
}
