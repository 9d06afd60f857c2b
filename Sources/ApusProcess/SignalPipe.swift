import Glibc

/// Signals of this process as bytes of a pipe, to be read in the launcher's `poll`.
public enum SignalPipe {
  /// Written once, before the handlers are installed; read by handlers, for which a plain load is all that is allowed.
  nonisolated(unsafe) private static var writeEnd: Int32 = -1

  /// Installs the handlers. Once in a process.
  /// - Returns: the end to read from; it never blocks.
  public static func open(for signals: [Int32]) throws(ProcessError) -> Int32 {
    let (readEnd, writeEnd) = try Pipe.open()
    self.writeEnd = writeEnd
    for signal in signals {
      var action = sigaction()
      // Under `nohup` the end of the terminal is no reason to stop.
      if signal == SIGHUP, isIgnored(signal) { continue }
      action.__sigaction_handler.sa_handler = { signal in
        let saved = errno
        var byte = UInt8(truncatingIfNeeded: signal)
        _ = write(SignalPipe.writeEnd, &byte, 1)
        errno = saved
      }
      action.sa_flags = SA_RESTART
      sigaction(signal, &action, nil)
    }
    return readEnd
  }

  /// Whether this process has a signal ignored.
  public static func isIgnored(_ signal: Int32) -> Bool {
    var action = sigaction()
    return sigaction(signal, nil, &action) == 0 && isIgnored(action)
  }

  /// `SIG_IGN` is the address 1, which Swift cannot compare as a function.
  static func isIgnored(_ action: sigaction) -> Bool {
    unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
  }

  /// Signals that have come since the last call.
  public static func read(_ descriptor: Int32) -> [Int32] {
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return count > 0 ? bytes[..<count].map(Int32.init) : []
  }
}
