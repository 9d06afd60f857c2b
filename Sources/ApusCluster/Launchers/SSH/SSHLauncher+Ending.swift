import ApusMessaging
import ApusProcess
import Glibc

/// The end of engines on other hosts, which may have lost their power, or have heard of a start whose answer nobody has.
extension SSHLauncher {
  /// Failures in a row after which a host is not waited for.
  static let mostFailures = 2

  public var unreachable: (engines: Set<Int>, reason: ClusterError)? {
    guard isStopping, let lastFailure else { return nil }
    let engines = sites.filter { $0.failures >= Self.mostFailures }.reduce(into: Set<Int>()) {
      $0.formUnion(Set($1.processes.keys).subtracting(ended.keys))
      $0.formUnion($1.planned)
    }
    return engines.isEmpty ? nil : (engines, lastFailure)
  }

  public mutating func stop(_ engines: Set<Int>, isForced: Bool) throws(ClusterError) {
    isStopping = true
    searchQuietly()
    _ = try end(engines, isForced: isForced)
  }

  /// - Returns: how all of them are then.
  mutating func end(_ engines: Set<Int>, isForced: Bool) throws(ClusterError) -> [Int: EngineState] {
    let touched = self.open(engines)
    let orders = touched.map { index in
      // What is noted there of a start that could not be looked into is all that anybody will know of it.
      let more: JSONObject = [
        "signal": .int(Int(isForced ? SIGKILL : SIGTERM)), "patience": 1, "keeps": .bool(!sites[index].planned.isEmpty),
      ]
      return (index, order(index, engines, more))
    }
    let states = try look(orders, RemoteScript.stop)
    // The script has removed what was there, with the last engine.
    for index in touched where sites[index].planned.isEmpty && sites[index].processes.keys.allSatisfy({ ended[$0] != nil }) {
      sites[index].isEmpty = true
    }
    return states
  }

  /// The same of hosts whose engines are to end: one that has lost its power is given no more time than it takes to see that.
  mutating func askToEnd(_ orders: [Order], _ script: String) throws(ClusterError) -> [Result<JSONValue, ClusterError>] {
    let asked = orders.filter { sites[$0.site].failures < Self.mostFailures }
    let now = MonotonicClock.now
    let end = endDeadline ?? now + options.connectTimeout + .seconds(5)
    endDeadline = end
    let answers = try askTimed(asked, script, limit: max(.seconds(5), end - now))
    var found: [Int: Result<JSONValue, ClusterError>] = [:]
    var silent: [SSHHost] = []
    for (order, (answer, elapsed)) in zip(asked, answers) {
      found[order.site] = answer
      switch answer {
      case .success: sites[order.site].failures = 0
      case .failure(let error):
        // Each by its own time: others may have kept us waiting.
        let wasLong = error.exitCode == .timedOut || elapsed >= options.connectTimeout
        sites[order.site].failures += wasLong ? Self.mostFailures : 1
        lastFailure = error
        if error.exitCode == .timedOut { silent.append(sites[order.site].host) }
      }
    }
    forgetConnections(to: silent)
    return orders.map { order in
      found[order.site]
        ?? .failure(
          ClusterError(.refused, "\(sites[order.site].host.name) does not answer: what it runs for the cluster may go on there"))
    }
  }

  /// Kept connections over which nothing comes any more: the next command makes another.
  private func forgetConnections(to hosts: [SSHHost]) {
    guard sockets != nil, !hosts.isEmpty else { return }
    let tools = hosts.map { host in
      var words = words(host, [])
      words.insert(contentsOf: ["-O", "exit"], at: options.sshCommand.count)
      return ToolCommand(words, environment: environment, limit: .seconds(2))
    }
    _ = try? ToolCommand.run(tools)
  }

  /// - Returns: engines that were found; why others were not is in `lastFailure`.
  @discardableResult
  mutating func searchQuietly() -> Set<Int> {
    do throws(ClusterError) { return try search() } catch {
      // Why a host is silent is said better by what it was asked first.
      if !isStopping || lastFailure == nil { lastFailure = error }
      return []
    }
  }

  /// Learns of engines whose start nobody has heard the answer of; what has not begun by then never will.
  /// - Returns: those that run, or have run.
  private mutating func search() throws(ClusterError) -> Set<Int> {
    for index in sites.indices where !sites[index].unsent.isEmpty && isStopping {
      for engine in sites[index].unsent { ended[engine] = .cancelled(by: "") }
      sites[index].forget(sites[index].unsent)
    }
    let used = sites.indices.filter { !sites[$0].planned.subtracting(sites[$0].unsent).isEmpty }
    if used.isEmpty { return [] }
    let orders = used.map { index -> Order in
      let sought = sites[index].planned.subtracting(sites[index].unsent)
      return (
        index,
        [
          "directory": .string(sites[index].directory), "name": .string(sites[index].name), "engines": [:],
          "planned": .array(sought.sorted().map { .int($0) }),
          "former": .object(
            JSONObject(
              members: sites[index].former.sorted { $0.key < $1.key }.map {
                (key: String($0.key), value: .array([.int($0.value.pid), $0.value.start]))
              })),
        ]
      )
    }
    var failure: ClusterError?
    var begun: Set<Int> = []
    let answers = try isStopping ? askToEnd(orders, RemoteScript.search) : ask(orders, RemoteScript.search)
    for (index, answer) in zip(used, answers) {
      switch answer {
      case .success(let answer):
        if let words = answer["error"]?.stringValue, !words.isEmpty {
          failure = ClusterError(.refused, "\(sites[index].host.name): \(words)")
          continue
        }
        let sought = sites[index].planned.subtracting(sites[index].unsent)
        // One that was given up has begun after all.
        for engine in sought { ended[engine] = nil }
        note(engines: answer, of: index)
        for engine in sought where sites[index].processes[engine] == nil {
          ended[engine] = isStopping ? .cancelled(by: "") : .refused("\(sites[index].host.name) did not begin to start it")
        }
        begun.formUnion(sought.filter { sites[index].processes[$0] != nil })
        sites[index].forget(sought)
      case .failure(let error): failure = error
      }
    }
    if let failure { throw failure }
    return begun
  }
}
