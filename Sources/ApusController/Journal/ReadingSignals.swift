import Glibc

/// Who ends a controller while that reads a journal does not mean that no controller survives the reading: what counts those is taken back.
public enum ReadingSignals {
  /// What the handler removes. It is set before there is a handler, and what it points to is never freed: a process reads one journal.
  private nonisolated(unsafe) static var path: UnsafeMutablePointer<CChar>?

  /// SIGTERM and SIGINT end this process all the same, until the controller is made; after that they are for whoever runs it.
  public static func taken<R, E: Error>(_ configuration: ControllerConfiguration, _ body: () throws(E) -> R) throws(E) -> R {
    guard configuration.journal != nil, path == nil else { return try body() }
    path = strdup(JournalFiles.attemptsPath(configuration.journalDirectory))
    let former = [SIGTERM, SIGINT].map { ($0, take($0)) }
    defer { for case (let number, var action?) in former { sigaction(number, &action, nil) } }
    return try body()
  }

  /// - Returns: what it was before; `nil` where it is left as it is, for it is to have no effect.
  private static func take(_ number: Int32) -> sigaction? {
    var former = sigaction()
    guard sigaction(number, nil, &former) == 0, unsafeBitCast(former.__sigaction_handler.sa_handler, to: Int.self) == 0 else {
      return nil
    }
    var action = sigaction()
    // `unlink` and `raise` are among the calls that a handler may make.
    action.__sigaction_handler.sa_handler = { number in
      if let path = ReadingSignals.path { unlink(path) }
      raise(number)
    }
    // The second one has the effect that it always has.
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
    return sigaction(number, &action, nil) == 0 ? former : nil
  }
}
