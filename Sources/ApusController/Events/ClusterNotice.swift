import ApusMessaging

/// What happens in a cluster beside its tasks. Stands among the task events in the order in which the schedulers learned of it.
struct ClusterNotice: Sendable {
  /// By the controller's clock.
  let time: Timestamp
  let kind: Kind

  enum Kind: Sendable {
    /// - Parameter tasks: of the controller before, read from its journal; `nil` for one that begins anew.
    case controllerStarted(tasks: Int?)
    case engineJoined(EngineUUID, EngineID)
    /// It gets no more tasks.
    case engineDrains(EngineUUID)
    case engineLeft(EngineUUID, EngineID, EngineLoss)
    /// It asked for the list of engines, as clients do first.
    case clientConnected(SessionID)
    /// Its connection has ended.
    case clientGone(SessionID)
  }

  init(_ kind: Kind, at time: Timestamp = .now()) {
    self.time = time
    self.kind = kind
  }
}

/// Events that come together to their readers.
struct EventBatch: Sendable {
  var tasks: [TaskEvent] = []
  /// Each with the number of task events before it.
  var notices: [(position: Int, notice: ClusterNotice)] = []

  var count: Int { tasks.count + notices.count }

  enum Event {
    case task(TaskEvent)
    case notice(ClusterNotice)
  }

  /// All of them, in their order.
  func forEach(_ body: (Event) -> Void) {
    var next = notices.startIndex
    for (index, event) in tasks.enumerated() {
      while next < notices.endIndex, notices[next].position <= index {
        body(.notice(notices[next].notice))
        next += 1
      }
      body(.task(event))
    }
    for (_, notice) in notices[next...] { body(.notice(notice)) }
  }
}
