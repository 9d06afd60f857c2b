import ApusMessaging

/// A launcher at work: in this thread where its calls return at once, else in one of its own.
enum EngineDriver {
  case immediate(LauncherSteps)
  case threaded(LauncherThread)

  init(_ launcher: any Launcher, outputLimit: Int) throws(ClusterError) {
    let steps = LauncherSteps(launcher, outputLimit: outputLimit)
    self = launcher.isImmediate ? .immediate(steps) : .threaded(try LauncherThread(steps))
  }

  /// Readable when there are events; -1 where SIGCHLD says so.
  var descriptor: Int32 { if case .threaded(let thread) = self { thread.descriptor } else { -1 } }

  /// - Returns: what is known at once.
  mutating func send(_ request: LauncherSteps.Request) -> [LauncherSteps.Event] {
    switch self {
    case .immediate(var steps):
      let events = steps.perform(request)
      self = .immediate(steps)
      return events
    case .threaded(let thread):
      thread.send(request)
      return []
    }
  }

  /// What has happened.
  mutating func events() -> [LauncherSteps.Event] {
    switch self {
    case .immediate: send(.look)
    case .threaded(let thread): thread.read()
    }
  }
}
