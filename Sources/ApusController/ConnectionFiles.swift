import ApusMessaging
import Glibc
import Logging
import Transport

/// The controller's files in `security/`: written when its sockets are bound, gone when it is.
struct ConnectionFiles: Sendable {
  var client: ConnectionFile
  var engine: ConnectionFile
  /// The pair whose public half is in both files. Kept in a third one where the files are going to be used again.
  var curve: CurveKeyPair?

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
    var curve: CurveKeyPair?
    if let published = client.curveServerKey, !published.isEmpty {
      let path = configuration.curveFilePath
      let saved = (try? AtomicFile.read(path)).flatMap { try? JSONValue(parsing: $0) }
      if let secret = saved?["curve_secretkey"]?.stringValue, (try? CurveKeyPair.publicKey(of: secret)) == published {
        curve = CurveKeyPair(publicKey: published, secretKey: secret)
      } else if configuration.curveKeys?.publicKey != published {
        logger.warning(
          "the secret key of the connection files is not there: ports are used again, and encryption has a new key",
          metadata: ["file": "\(path)"])
      }
    }
    return ConnectionFiles(client: client, engine: engine, curve: curve)
  }

  func write(_ configuration: ControllerConfiguration) throws(ControllerError) {
    do {
      try Self.protect(configuration.securityDirectory)
      // Of one before, which was killed while it wrote them.
      for path in [
        configuration.curveFilePath, configuration.clientFilePath, configuration.engineFilePath, configuration.engineStatePath,
      ] {
        AtomicFile.removeUnfinished(path)
      }
      if configuration.reuseFiles || configuration.journal != nil, let curve {
        let keys: JSONValue = ["curve_publickey": .string(curve.publicKey), "curve_secretkey": .string(curve.secretKey)]
        try AtomicFile.write(keys.encoded(pretty: true), to: configuration.curveFilePath)
      }
      try AtomicFile.write(client.json.encoded(pretty: true), to: configuration.clientFilePath)
      try AtomicFile.write(engine.json.encoded(pretty: true), to: configuration.engineFilePath)
    } catch {
      throw ControllerError(
        .file, "\(error). The controller needs the folder security/ of its profile; `--profile-dir` chooses another.")
    }
  }

  /// Whoever can read the files can run code as their owner, so nobody else may look into their folder, whatever it was before.
  private static func protect(_ directory: String) throws(FileError) {
    var status = stat()
    guard lstat(directory, &status) == 0, status.st_mode & 0o077 != 0 else { return }
    guard chmod(directory, 0o700) == 0 else { throw FileError(path: directory, action: "keep others out of", code: errno) }
  }

  /// After an end in order, where they are not going to be used again.
  func removeSecret(_ configuration: ControllerConfiguration) {
    if configuration.journal != nil { AtomicFile.remove(configuration.curveFilePath) }
  }

  /// Those that are still ours: somebody may have written others since.
  func remove(_ configuration: ControllerConfiguration) {
    for (file, path) in [(client, configuration.clientFilePath), (engine, configuration.engineFilePath)] {
      guard let bytes = try? AtomicFile.read(path) else { continue }
      if (try? ConnectionFile(parsing: String(decoding: bytes, as: UTF8.self))) == file { AtomicFile.remove(path) }
    }
  }
}
