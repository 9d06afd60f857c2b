import ApusMessaging
import DequeModule
import Transport

/// The client's lines to a controller on the same host, beside its libzmq sockets (`LocalSocket`): one for balanced tasks, one for direct requests
/// and broadcasts. On the client's loop only.
///
/// Balanced tasks go the other way where there is no room, but those with shared memory, which would be copied there: they wait, and all that come
/// after them, which may name them. Requests always keep their order: as long as the line is there, all of
/// them go by it, and wait here for room.
struct ClientLines {
  private struct Line {
    let socket: LocalSocket
    /// It took the place of one to the controller before.
    let isReopened: Bool
    /// The controller has said that it takes it.
    var isOpen = false
  }

  private var tasks: Line?
  private var requests: Line?
  private var waiting = Deque<(message: [Frame], request: Request)>()
  private var waitingTasks = Deque<[Frame]>()
  private let copies = SharedCopies()
  private let origin: (directory: String, identity: String, key: String)?

  /// Of a client without any.
  init() { origin = nil }

  /// Connects, and says who is there.
  /// - Parameter identity: of the client's libzmq sockets.
  init(in directory: String, identity: String, key: String) {
    origin = (directory, identity, key)
    tasks = line(.tasks)
    requests = line(.requests)
  }

  private func line(_ lane: LocalSocket.Lane, isReopened: Bool = false) -> Line? {
    guard let origin, let socket = LocalSocket(connectingTo: LocalSocket.linesPath(in: origin.directory)) else { return nil }
    var session = Session(key: origin.key)
    let greeting = session.message(
      LocalSocket.greeting, content: ["client": .string(origin.identity), "lane": .string(lane.rawValue)])
    return socket.send(greeting.frames) == .sent ? Line(socket: socket, isReopened: isReopened) : nil
  }

  /// To a restarted controller. Balanced tasks have no order; requests go on by libzmq, as those before them.
  mutating func reopenTasks() { if tasks == nil { tasks = line(.tasks, isReopened: true) } }

  /// Whether the way of the first requests is not known yet.
  var isPending: Bool { isPending(.tasks) || isPending(.requests) }
  /// Whether an answer of the controller to a greeting is waited for. A line that was opened again may be answered at any time: the controller may
  /// have taken it already, and have sent by it what tasks of before have come to. Who closed it would lose that.
  func isPending(_ lane: LocalSocket.Lane) -> Bool {
    let line = lane == .tasks ? tasks : requests
    return line.map { !$0.isOpen && !$0.isReopened } ?? false
  }
  /// Whether `deliverWaiting` is to be called soon.
  var hasWaiting: Bool { !waiting.isEmpty || !waitingTasks.isEmpty }

  func socket(_ lane: LocalSocket.Lane) -> LocalSocket? {
    switch lane {
    case .tasks: tasks?.socket
    case .requests: requests?.socket
    }
  }

  func isOpen(_ lane: LocalSocket.Lane) -> Bool {
    switch lane {
    case .tasks: tasks?.isOpen ?? false
    case .requests: requests?.isOpen ?? false
    }
  }

  mutating func open(_ lane: LocalSocket.Lane) {
    switch lane {
    case .tasks: tasks?.isOpen = true
    case .requests: requests?.isOpen = true
    }
  }

  /// It has ended, or is not used.
  /// - Returns: tasks that have to go through libzmq.
  mutating func closeTasks() -> [[Frame]] {
    tasks = nil
    defer { waitingTasks = [] }
    return Array(waitingTasks)
  }

  /// The same of the other.
  /// - Returns: what it has not taken any more.
  mutating func closeRequests() -> [Request] {
    requests = nil
    defer { waiting = [] }
    return waitingRequests
  }

  /// Requests that wait for room.
  var waitingRequests: [Request] { waiting.map(\.request) }

  // MARK: sending

  /// - Returns: false if it has to go through libzmq.
  mutating func send(task frames: [Frame]) -> Bool {
    guard let tasks, tasks.isOpen else { return false }
    let message = [LocalSocket.Lane.task] + frames
    if waitingTasks.isEmpty {
      switch tasks.socket.send(message, copying: copies) {
      case .sent: return true
      case .full where frames.contains { $0.sharedMemory != nil }: break
      case .full, .unfit, .closed: return false
      }
    }
    waitingTasks.append(message)
    return true
  }

  /// - Parameters:
  ///   - channel: whose it is.
  ///   - request: that it says.
  /// - Returns: false if it has to go through libzmq.
  mutating func send(request frames: [Frame], on channel: Frame, of request: Request) -> Bool {
    guard let requests, requests.isOpen else { return false }
    let message = [channel] + frames
    if waiting.isEmpty {
      switch requests.socket.send(message, copying: copies) {
      case .sent: return true
      case .full: break
      // Whoever reads the line finds its end, and is given what it has not taken.
      case .closed: requests.socket.shutDown()
      case .unfit: return false
      }
    }
    waiting.append((message, request))
    return true
  }

  /// - Returns: what does not go by the line after all.
  mutating func deliverWaiting() -> [[Frame]] {
    var unfit: [[Frame]] = []
    tasksWait: while let message = waitingTasks.first, let tasks {
      switch tasks.socket.send(message, copying: copies) {
      case .full: break tasksWait
      case .sent: break
      case .unfit, .closed: unfit.append(message)
      }
      waitingTasks.removeFirst()
    }
    while let (message, request) = waiting.first, let requests {
      // Nobody waits for it any more.
      if request.handles.allSatisfy(\.hasEnded) {
        waiting.removeFirst()
        continue
      }
      switch requests.socket.send(message, copying: copies) {
      case .full: return unfit
      case .closed:
        requests.socket.shutDown()
        return unfit
      case .sent: break
      case .unfit: unfit.append(message)
      }
      waiting.removeFirst()
    }
    return unfit
  }

  /// Lets go of what was copied, and with it of the memory of callers.
  func turnEnded() { if !hasWaiting { copies.removeAll() } }
}
