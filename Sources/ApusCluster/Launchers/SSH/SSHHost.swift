import ApusMessaging

/// A host to start engines on, as `c.SSHEngineSetLauncher.engines` or a line of `--hosts` names it.
struct SSHHost: Sendable, Hashable {
  /// What ssh is given: `[user@]host`.
  var destination: String
  var port: Int?
  /// Engines there; `nil` where nobody has said how many.
  var count: Int?
  var python: String?
  var profileDirectory: String?
  var engineCommand: [String]?
  var engineArguments: [String] = []
  var environment: [String: String] = [:]
  /// Path there of a script whose environment engines run in.
  var environmentScript: String?
  var sshArguments: [String] = []

  /// - Parameter text: `[user@]host[:port]`.
  init?(_ text: String) {
    var name = text[...]
    if let colon = name.lastIndex(of: ":"), !name.hasSuffix("]"),
      name[..<colon].allSatisfy({ $0 != ":" }) || name[..<colon].hasSuffix("]")
    {
      guard let port = Int(name[name.index(after: colon)...]), (1...65_535).contains(port) else { return nil }
      self.port = port
      name = name[..<colon]
    }
    // ssh takes what begins with a dash for an option.
    guard !name.isEmpty, !name.hasPrefix("-"), !name.contains(where: { $0.isWhitespace }) else { return nil }
    destination = String(name)
  }

  /// The host's name alone, as people say it.
  var name: String { String(destination.split(separator: "@").last ?? "") }

  /// One entry of the trait `engines`: a number, a dictionary with `n` and traits of an engine launcher, or ipyparallel's older `(n, args)`.
  static func read(_ key: String, _ value: JSONValue) throws(ClusterError) -> SSHHost {
    func wrong(_ what: String) -> ClusterError {
      ClusterError(
        .failure, "SSHEngineSetLauncher.engines: \(what)",
        advice: "Like {'host1': 2, 'user@host2:2222': {'n': 4, 'remote_python': '/opt/venv/bin/python'}}.")
    }
    guard var host = SSHHost(key) else { throw wrong("'\(key)' is no host") }
    if let count = value.intValue, count >= 0 {
      host.count = count
    } else if let pair = value.arrayValue, pair.count == 2, let count = pair[0].intValue, count >= 0,
      let words = pair[1].stringArrayValue
    {
      host.count = count
      host.engineArguments = words
    } else if let object = value.objectValue {
      host.count = object["n"]?.intValue ?? 1
      host.python = object["remote_python"]?.stringValue
      host.profileDirectory = object["remote_profile_dir"]?.stringValue
      host.engineCommand = object["engine_cmd"]?.stringArrayValue
      host.engineArguments = object["engine_args"]?.stringArrayValue ?? []
      host.environmentScript = object["environment_script"]?.stringValue
      host.sshArguments = object["ssh_args"]?.stringArrayValue ?? []
      for (name, value) in object["environment"]?.objectValue?.members ?? [] {
        host.environment[name] = value.stringValue ?? value.text
      }
      if let user = object["user"]?.stringValue, !user.isEmpty { host.destination = "\(user)@\(host.name)" }
      let known = [
        "n", "remote_python", "remote_profile_dir", "engine_cmd", "engine_args", "ssh_args", "environment", "environment_script",
        "user",
      ]
      if let unknown = object.keys.first(where: { !known.contains($0) }) {
        throw wrong("'\(key)' has '\(unknown)', which is none of \(known.joined(separator: ", "))")
      }
    } else {
      throw wrong("the value of '\(key)' is \(value.text)")
    }
    if let count = host.count, !(0...10_000).contains(count) {
      throw wrong("'\(key)' has \(count) engines; 0 to 10 000 are possible")
    }
    return host
  }

  /// How many engines each host gets of `wanted`: those that say a number have it, the rest is spread over those that say none.
  /// - Parameter wanted: `nil` is all that the hosts say, and one where they say nothing. Never more than the hosts say.
  static func share(_ wanted: Int?, among hosts: [SSHHost]) -> [Int] {
    var counts = hosts.map { $0.count ?? (wanted == nil ? 1 : 0) }
    guard let wanted else { return counts }
    var left = wanted
    for index in counts.indices where hosts[index].count != nil {
      counts[index] = min(counts[index], left)
      left -= counts[index]
    }
    let open = hosts.indices.filter { hosts[$0].count == nil }
    for (place, index) in open.enumerated() { counts[index] = left / open.count + (place < left % open.count ? 1 : 0) }
    return counts
  }
}
