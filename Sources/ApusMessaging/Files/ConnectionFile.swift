/// What a client or an engine must know to reach a controller: `ipcontroller-client.json` and `ipcontroller-engine.json` (protocol section 1.3).
public struct ConnectionFile: Hashable, Sendable {
  public enum Side: Hashable, Sendable {
    /// Ports for clients; the scheme's name tells a client which views it may offer.
    case client(notification: Int, broadcast: Int, taskScheme: String)
    /// Ports for engines; `broadcast` has one a leaf of the broadcast tree.
    case engine(heartbeatPing: Int, heartbeatPong: Int, broadcast: [Int])
  }

  /// A tunnel server for this side, or empty.
  public var ssh: String
  /// `tcp://<ip>`, the prefix of every endpoint; the ip may be `*`.
  public var interface: String
  public var registration: Int
  public var control: Int
  public var mux: Int
  public var task: Int
  public var iopub: Int
  public var side: Side
  /// The HMAC key as text; empty: unsigned.
  public var key: String
  public var curveServerKey: String?
  /// Host name or ip of the controller.
  public var location: String
  /// On the controller's host, a folder of Unix domain sockets named after the ports, for Apus's own parties. Others pass over it.
  public var localDirectory: String?

  public init(
    ssh: String = "", interface: String, registration: Int, control: Int, mux: Int, task: Int, iopub: Int, side: Side, key: String,
    curveServerKey: String? = nil, location: String, localDirectory: String? = nil
  ) {
    self.ssh = ssh
    self.interface = interface
    self.registration = registration
    self.control = control
    self.mux = mux
    self.task = task
    self.iopub = iopub
    self.side = side
    self.key = key
    self.curveServerKey = curveServerKey
    self.location = location
    self.localDirectory = localDirectory
  }

  /// In the order of ipyparallel's files.
  public var json: JSONValue {
    var object: JSONObject = [
      "ssh": .string(ssh), "interface": .string(interface), "registration": .int(registration), "control": .int(control),
      "mux": .int(mux),
    ]
    switch side {
    case .client(let notification, let broadcast, let taskScheme):
      object["task"] = .int(task)
      object["task_scheme"] = .string(taskScheme)
      object["iopub"] = .int(iopub)
      object["notification"] = .int(notification)
      object["broadcast"] = .int(broadcast)
    case .engine(let ping, let pong, let broadcast):
      object["task"] = .int(task)
      object["iopub"] = .int(iopub)
      object["hb_ping"] = .int(ping)
      object["hb_pong"] = .int(pong)
      object["broadcast"] = .array(broadcast.map { .int($0) })
    }
    object["key"] = .string(key)
    object["curve_serverkey"] = JSONValue(curveServerKey)
    object["location"] = .string(location)
    object["pack"] = "json"
    object["unpack"] = "json"
    object["signature_scheme"] = "hmac-sha256"
    if let localDirectory { object["local_directory"] = .string(localDirectory) }
    return .object(object)
  }

  /// - Throws: naming the key that is missing, of another type, or beyond what Apus speaks.
  public init(_ json: JSONValue) throws(ConnectionFileError) {
    guard let object = json.objectValue else { throw ConnectionFileError(reason: "it does not hold a JSON object") }
    func text(_ key: String, default fallback: String? = nil) throws(ConnectionFileError) -> String {
      if let value = object[key]?.stringValue { return value }
      if let fallback, object[key] == nil || object[key] == .null { return fallback }
      throw ConnectionFileError(
        reason: object[key] == nil ? "the key \"\(key)\" is missing" : "the key \"\(key)\" should be a string")
    }
    func port(_ key: String) throws(ConnectionFileError) -> Int {
      guard let value = object[key]?.intValue, (1...65_535).contains(value) else {
        throw ConnectionFileError(
          reason: object[key] == nil ? "the key \"\(key)\" is missing" : "the key \"\(key)\" should be a port, 1 to 65535")
      }
      return value
    }
    let scheme = try text("signature_scheme", default: "hmac-sha256")
    guard scheme == "hmac-sha256" else {
      throw ConnectionFileError(reason: "its signature scheme is \(scheme), and only hmac-sha256 is supported")
    }
    let packer = try text("pack", default: "json")
    guard packer == "json" || packer == "orjson" else {
      throw ConnectionFileError(reason: "its packer is \(packer), and only json (or orjson, the same on the wire) is supported")
    }
    ssh = try text("ssh", default: "")
    interface = try text("interface")
    registration = try port("registration")
    control = try port("control")
    mux = try port("mux")
    task = try port("task")
    iopub = try port("iopub")
    if object["hb_ping"] != nil {
      let elements = object["broadcast"]?.arrayValue ?? []
      let leaves = elements.compactMap(\.intValue).filter { (1...65_535).contains($0) }
      guard !leaves.isEmpty, leaves.count == elements.count else {
        throw ConnectionFileError(reason: "the key \"broadcast\" should be a list of ports")
      }
      side = .engine(heartbeatPing: try port("hb_ping"), heartbeatPong: try port("hb_pong"), broadcast: leaves)
    } else {
      side = .client(
        notification: try port("notification"), broadcast: try port("broadcast"),
        taskScheme: try text("task_scheme", default: "leastload"))
    }
    key = try text("key", default: "")
    curveServerKey = object["curve_serverkey"]?.stringValue
    location = try text("location", default: "")
    localDirectory = object["local_directory"]?.stringValue
  }

  /// - Throws: also where the text is not JSON.
  public init(parsing text: String) throws(ConnectionFileError) {
    do { try self.init(JSONValue(parsing: text)) } catch let error as JSONError {
      throw ConnectionFileError(reason: "it is \(error)")
    } catch let error as ConnectionFileError { throw error } catch { throw ConnectionFileError(reason: "\(error)") }
  }

  public func endpoint(port: Int, host: String? = nil) -> String {
    if let host {
      return "\(interface.prefix(upTo: interface.range(ofSeparator: "://") ?? interface.startIndex))://\(host):\(port)"
    }
    return "\(interface):\(port)"
  }

  /// The ip of `interface`: `*` and `0.0.0.0` mean "wherever `location` is".
  public var host: String {
    guard let index = interface.range(ofSeparator: "://") else { return interface }
    return String(interface[interface.index(index, offsetBy: 3)...])
  }
}

/// What is wrong with a connection file.
public struct ConnectionFileError: Error, Hashable, Sendable, CustomStringConvertible {
  public let reason: String
  public init(reason: String) { self.reason = reason }
  public var description: String { reason }
}

extension String {
  /// Where the separator starts.
  fileprivate func range(ofSeparator separator: String) -> String.Index? {
    var index = startIndex
    while index < endIndex {
      if self[index...].hasPrefix(separator) { return index }
      index = self.index(after: index)
    }
    return nil
  }
}
