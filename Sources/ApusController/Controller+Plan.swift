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
    /// Where parties of this host and user connect; `nil` if that is turned off, or cannot be.
    let local: LocalDirectory?
    let lock: ControllerLock
    /// The controller before has not ended in order, and its tasks are in its journal.
    let isResuming: Bool
    /// What its journal was set aside for: its engines and clients may come back all the same.
    let setAside: JournalBeginning?

    init(_ configuration: ControllerConfiguration, logger: Logger) throws(ControllerError) {
      self.configuration = configuration
      guard (0...6).contains(configuration.broadcastDepth) else {
        throw ControllerError(.configuration, "the broadcast tree may be 0 to 6 levels deep, not \(configuration.broadcastDepth)")
      }
      guard configuration.heartbeatPeriod > .zero else {
        throw ControllerError(.configuration, "the heartbeat period must be positive")
      }
      try Self.checkProtection(configuration)
      lock = try ControllerLock(configuration)
      let journal = configuration.journal.map { _ in configuration.journalDirectory }
      setAside = journal.flatMap { JournalFiles.prepare($0, logger: logger) }
      isResuming = journal.map { JournalFiles.wasCutShort($0) } ?? false
      reused =
        configuration.reuseFiles || isResuming || setAside != nil ? ConnectionFiles.reusable(configuration, logger: logger) : nil
      do {
        if let inProcess = configuration.inProcess {
          context = inProcess.context
        } else {
          context = try Context(ioThreads: max(1, configuration.ioThreads))
        }
        curve = configuration.enableCurve ? try configuration.curveKeys ?? reused?.curve ?? CurveKeyPair.generate() : nil
      } catch { throw ControllerError(.messaging, "cannot set up messaging: \(error)") }
      local = configuration.localSockets ? Self.localDirectory(reused?.client.localDirectory, logger: logger) : nil
      // Signed as well as encrypted: each protects where the other ends.
      let reusedKey = reused?.client.key ?? ""
      key = configuration.key ?? (reusedKey.isEmpty ? SessionID.random().text : reusedKey)
    }

    /// - Throws: where somebody without the key could read or change what is sent, and nobody said that this is wanted.
    private static func checkProtection(_ configuration: ControllerConfiguration) throws(ControllerError) {
      if configuration.allowsInsecure { return }
      if configuration.key == "" {
        throw ControllerError(
          .configuration,
          "the key that signs messages is empty: whoever can connect could run code. Leave it out for a new one, "
            + "or allow it with --insecure.")
      }
      if configuration.enableCurve { return }
      for ip in [configuration.clientIP, configuration.engineIP] where !ControllerAddress.isLoopback(ip) {
        throw ControllerError(
          .configuration,
          "without encryption (enable_curve=False) everybody on the network can read what is sent to \(ip). Leave it on, listen on 127.0.0.1, "
            + "or allow it with --insecure.")
      }
      if !TCPListener.Admission.isInPlace {
        throw ControllerError(
          .configuration,
          "without encryption (enable_curve=False) other users of this host have to be kept out, which this program cannot do as it was "
            + "linked. Leave it on, or allow it with --insecure.")
      }
    }

    /// Without one, everybody connects by TCP: slower, and no less safe.
    private static func localDirectory(_ reused: String?, logger: Logger) -> LocalDirectory? {
      do throws(SystemError) {
        if let reused, let directory = try? LocalDirectory(reusing: reused) { return directory }
        return try LocalDirectory()
      } catch {
        logger.warning("no local sockets: parties on this host connect by TCP", metadata: ["error": "\(error)"])
        return nil
      }
    }

    var location: String {
      if let location = configuration.location { return location }
      if let reused { return reused.client.location }
      let name = ControllerAddress.hostName
      return name.isEmpty ? "localhost" : name
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
      let own = Set((file["own"]?.arrayValue ?? []).compactMap { $0.intValue.map { EngineID($0) } })
      state.restore(
        engines, kinds: kinds, own: own, nextID: max(0, file["next_id"]?.intValue ?? 0),
        until: .now + JournalConfiguration().engineTimeout)
    } catch { logger.warning("no engines to restore", metadata: ["error": "\(error)"]) }
  }
}
