import ApusMessaging
import Logging

/// The controller's two files in `security/`: written when its sockets are bound, gone when it is.
struct ConnectionFiles: Sendable {
  var client: ConnectionFile
  var engine: ConnectionFile

  /// The files of an earlier controller.
  /// - Returns: `nil` if there are none, or if they do not belong together: then new ones are made, and the log says why.
  static func reusable(_ configuration: ControllerConfiguration, logger: Logger) -> ConnectionFiles? {
    func read(_ path: String) -> ConnectionFile? {
      do { return try ConnectionFile(parsing: String(decoding: AtomicFile.read(path), as: UTF8.self)) } catch let error as FileError
      {
        logger.info("no connection file to reuse", metadata: ["file": "\(path)", "error": "\(error)"])
      } catch { logger.warning("a connection file cannot be reused", metadata: ["file": "\(path)", "error": "\(error)"]) }
      return nil
    }
    guard let client = read(configuration.clientFilePath), let engine = read(configuration.engineFilePath) else { return nil }
    guard case .client = client.side, case .engine(_, _, let leaves) = engine.side, !leaves.isEmpty, client.key == engine.key,
      client.registration == engine.registration, client.curveServerKey == engine.curveServerKey
    else {
      logger.warning("the connection files do not belong together: new ones are made")
      return nil
    }
    return ConnectionFiles(client: client, engine: engine)
  }

  func write(_ configuration: ControllerConfiguration) throws(ControllerError) {
    do {
      try AtomicFile.write(client.json.encoded(pretty: true), to: configuration.clientFilePath)
      try AtomicFile.write(engine.json.encoded(pretty: true), to: configuration.engineFilePath)
    } catch {
      throw ControllerError(
        .file, "\(error). The controller needs the folder security/ of its profile; `--profile-dir` chooses another.")
    }
  }

  static func remove(_ configuration: ControllerConfiguration) {
    AtomicFile.remove(configuration.clientFilePath)
    AtomicFile.remove(configuration.engineFilePath)
  }
}
