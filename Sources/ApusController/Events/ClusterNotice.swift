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
    /// Tasks of the controller before, in the place of their events: `EventBatch.events`.
    case tasksRestored([RestoredTask], TaskQueue?)
  }

  /// How many events it stands for.
  var count: Int { if case .tasksRestored(let tasks, _) = kind { 2 * tasks.count } else { 1 } }

  init(_ kind: Kind, at time: Timestamp = .now()) {
    self.time = time
    self.kind = kind
  }
}

/// A task that a restarted controller has from its journal. Nobody reads a million of their requests.
struct RestoredTask: Sendable {
  let id: MessageID
  let request: KeptRequest

  /// Bytes that it keeps in memory, roughly: what is stored there is kept with others, and before anybody hears of it.
  var footprint: Int {
    switch request {
    case .message(let message): message.byteCount + TaskEvent.messageOverhead
    case .stored, .rerouted: TaskEvent.eventOverhead
    }
  }

  func events(in queue: TaskQueue?, at time: Timestamp) -> [TaskEvent] {
    [
      TaskEvent(id, queue, at: time, .submitted(request: request.message, engine: nil)), TaskEvent(id, queue, at: time, .restored),
    ]
  }
}

/// Events that come together to their readers.
struct EventBatch: Sendable {
  var tasks: [TaskEvent] = []
  /// Each with the number of task events before it.
  var notices: [(position: Int, notice: ClusterNotice)] = []

  mutating func append(_ notice: ClusterNotice) { notices.append((tasks.count, notice)) }

  var count: Int { notices.reduce(tasks.count) { $0 + $1.notice.count } }

  /// Those of tasks, each by itself.
  var events: [TaskEvent] {
    guard notices.contains(where: { if case .tasksRestored = $0.notice.kind { true } else { false } }) else { return tasks }
    var events: [TaskEvent] = []
    events.reserveCapacity(count)
    forEach { event in
      switch event {
      case .task(let event): events.append(event)
      case .notice(let notice):
        guard case .tasksRestored(let tasks, let queue) = notice.kind else { return }
        for task in tasks { events += task.events(in: queue, at: notice.time) }
      }
    }
    return events
  }

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
