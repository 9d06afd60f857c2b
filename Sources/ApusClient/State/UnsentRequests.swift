import ApusMessaging

/// Requests that have not left, in the order in which they were submitted: hundreds of thousands may wait, and each engine that comes back asks for those
/// that were for it.
struct UnsentRequests {
  private var requests: [TaskNumber: Request] = [:]
  /// Sorted; with numbers of some that are not among them any more.
  private var order: [TaskNumber] = []
  /// How many broadcasts among them name each engine.
  private var broadcasts: [EngineUUID: Int] = [:]

  var isEmpty: Bool { requests.isEmpty }
  var numbers: some Collection<TaskNumber> { requests.keys }

  func contains(_ number: TaskNumber) -> Bool { requests[number] != nil }

  /// Whether there is a broadcast among them that goes to one of these, too.
  func hasBroadcast(to engines: [EngineUUID]) -> Bool { engines.contains { broadcasts[$0] != nil } }

  mutating func insert(_ request: Request) {
    remove(request.number)
    requests[request.number] = request
    count(request, 1)
    if let last = order.last, last.raw >= request.number.raw {
      // It was submitted before others, and given back later.
      let place = place(of: request.number)
      if order[place] != request.number { order.insert(request.number, at: place) }
    } else {
      order.append(request.number)
    }
  }

  mutating func remove(_ number: TaskNumber) {
    guard let request = requests.removeValue(forKey: number) else { return }
    count(request, -1)
    if order.count > 2 * requests.count + 64 { order.removeAll { requests[$0] == nil } }
  }

  /// Takes out those that are to leave.
  /// - Parameter isReady: asked of all in their order.
  mutating func take(where isReady: (Request) -> Bool) -> [Request] {
    var taken: [Request] = []
    order.removeAll { number in
      guard let request = requests[number] else { return true }
      if isReady(request) {
        taken.append(request)
        return true
      }
      return false
    }
    for request in taken {
      requests[request.number] = nil
      count(request, -1)
    }
    return taken
  }

  private mutating func count(_ request: Request, _ change: Int) {
    guard request.route.channel == .broadcast else { return }
    for engine in request.route.targets {
      let count = broadcasts[engine, default: 0] + change
      broadcasts[engine] = count == 0 ? nil : count
    }
  }

  /// Where the first is that is not before it.
  private func place(of number: TaskNumber) -> Int {
    var (low, high) = (0, order.count)
    while low < high {
      let middle = (low + high) / 2
      if order[middle].raw < number.raw { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension Request.Route {
  /// The engines that it names.
  var targets: [EngineUUID] {
    switch self {
    case .hub, .balanced: []
    case .control(let engine), .direct(let engine): [engine.uuid]
    case .coalescing(let engines), .broadcast(let engines): engines.map(\.uuid)
    }
  }
}
