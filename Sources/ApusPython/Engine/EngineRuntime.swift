@preconcurrency import CPython
import ApusEngine
import ApusMessaging
import Transport

/// The engine of this process, as the functions of `apus._core` reach it.
enum EngineRuntime {
  /// Touched by Python's main thread only: Python code of other threads gets the engine, never the shell.
  nonisolated(unsafe) static var shell: Shell?
  private static let current = Mutex<Engine?>(nil)

  static var engine: Engine? { current.withLock { $0 } }

  static func set(_ engine: Engine?) {
    current.withLock { $0 = engine }
    LentBuffer.notify(engine)
  }

  /// In a forked child: the parent's sockets must not be touched, so nothing is reachable any more. What they hold is leaked on purpose.
  static func abandon() {
    if let shell { _ = Unmanaged.passRetained(shell) }
    if let engine { _ = Unmanaged.passRetained(engine) }
    shell = nil
    set(nil)
  }

  /// - Parameter options: names and values in turn, as Python passes them.
  static func configuration(_ options: [String]) throws(EngineError) -> EngineConfiguration {
    var values: [String: String] = [:]
    for index in stride(from: 0, to: options.count - 1, by: 2) { values[options[index]] = options[index + 1] }
    let connection: ConnectionFile
    do { connection = try ConnectionFile(parsing: values["connection"] ?? "") } catch {
      throw EngineError(.badConnection, "The connection information cannot be used: \(error)")
    }
    guard case .engine = connection.side else {
      throw EngineError(.badConnection, "The connection information is for clients, not for engines: it has no heartbeat ports")
    }
    let uuid = values["uuid"] ?? ""
    var configuration = EngineConfiguration(connection: connection, uuid: EngineUUID(uuid.isEmpty ? SessionID.random().text : uuid))
    configuration.connectionPath = values["path"]
    configuration.location = values["location"]
    configuration.fallbackKey = values["key"]
    configuration.fallbackServerKey = values["curve_serverkey"]
    if let id = values["id"].flatMap({ Int($0) }), id >= 0 { configuration.wantedID = EngineID(id) }
    // What is longer than centuries does not fit a clock.
    if let timeout = values["timeout"].flatMap({ Double($0) }), timeout > 0, timeout < 1e10 {
      configuration.registrationTimeout = .seconds(timeout)
    }
    if let misses = values["misses"].flatMap({ Int($0) }), misses >= 0 { configuration.maximumHeartbeatMisses = misses }
    if let text = values["resources"], let members = (try? JSONValue(parsing: text))?.objectValue {
      for (name, amount) in members.members { configuration.resources[name] = amount.doubleValue }
    }
    if let executable = values["restart_executable"], let arguments = values["restart_arguments"] {
      func words(_ text: String) -> [String] { text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init) }
      configuration.restartCommand = RestartCommand(
        executable: executable, arguments: words(arguments), directory: values["restart_directory"] ?? ".",
        environment: words(values["restart_environment"] ?? ""))
    }
    if let publicKey = values["curve_publickey"], let secretKey = values["curve_secretkey"], secretKey.utf8.count == 40 {
      configuration.curveKeys = CurveKeyPair(publicKey: publicKey, secretKey: secretKey)
    }
    return configuration
  }
}
