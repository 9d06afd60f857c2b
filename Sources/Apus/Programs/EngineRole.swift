import ApusProcess
import ApusCluster
import ApusEngine
import ApusMessaging
import ApusTasks
import Glibc

/// `program engine`: serves a cluster until it is told to end.
enum EngineRole {
  static func run(_ options: ProgramOptions, prepare: (SwiftKernel) -> Void) async throws -> Int32 {
    let path = options.engineFile(.current())
    var configuration = EngineConfiguration(connection: try connection(path), uuid: EngineUUID(SessionID.random().text))
    configuration.connectionPath = path
    let capture = OutputCapture()
    if let capture { EngineLog.configure(level: EngineLog.Level.info.rawValue, descriptor: capture.originalStandardError) }
    let engine = SwiftEngine(configuration, capture: capture)
    prepare(engine.kernel)
    EndWatch.start(followsParent: options.followsParent) { reason in
      EngineLog.log(.info, reason)
      engine.stop()
    } onInterrupt: {
      engine.interrupt()
    }
    do { return try await engine.run() } catch let error as EngineError {
      throw ClusterError(.noController, error.description, advice: "See whether the cluster of \(path) still runs (apus list).")
    }
  }

  private static func connection(_ path: String) throws(ClusterError) -> ConnectionFile {
    let text: String
    do throws(FileError) { text = try FileSystem.text(of: path) } catch {
      guard error.code == ENOENT else { throw ClusterError(.damagedFile, "the connection file cannot be read: \(error)") }
      throw ClusterError(
        .missingFile, "no cluster was found: there is no connection file \(path)",
        advice: "Start a controller (apus start), or name its file by --file.")
    }
    let file: ConnectionFile
    do throws(ConnectionFileError) { file = try ConnectionFile(parsing: text) } catch {
      throw ClusterError(.damagedFile, "the connection file \(path) is of no use: \(error)", advice: "Start the cluster again.")
    }
    guard case .engine = file.side else {
      throw ClusterError(
        .damagedFile, "\(path) is the connection of a client", advice: "Use the file whose name ends in -engine.json.")
    }
    return file
  }
}

/// What ends an engine's process from outside: SIGTERM, SIGHUP, and the end of its standard input where it follows its parent. SIGINT cancels the
/// task that runs.
enum EndWatch {
  static func start(followsParent: Bool, onEnd: @escaping @Sendable (String) -> Void, onInterrupt: @escaping @Sendable () -> Void) {
    guard let signals = try? SignalPipe.open(for: [SIGTERM, SIGHUP, SIGINT]) else { return }
    let refusal = DetachedThread.start {
      var items = [
        pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
        pollfd(fd: followsParent ? 0 : -1, events: Int16(POLLIN), revents: 0),
      ]
      while poll(&items, nfds_t(items.count), -1) >= 0 || errno == EINTR {
        for signal in SignalPipe.read(signals) {
          if signal == SIGINT { onInterrupt() } else { onEnd("Received signal \(signal), stopping") }
        }
        var byte: UInt8 = 0
        if items[1].revents != 0, read(0, &byte, 1) <= 0 {
          onEnd("The program that started this engine is gone, stopping")
          items[1].fd = -1
        }
      }
    }
    if let refusal { EngineLog.log(.warning, "Signals are not watched: \(refusal)") }
  }
}
