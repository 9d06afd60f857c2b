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
    do throws(ClusterError) { try search() } catch { lastFailure = error }
    let order: JSONObject = ["signal": .int(Int(isForced ? SIGKILL : SIGTERM)), "patience": 1]
    let touched = self.open(engines)
    _ = try look(orders(engines, adding: order), RemoteScript.stop)
    // The script has removed what was there, with the last engine.
    for index in touched where sites[index].processes.keys.allSatisfy({ ended[$0] != nil }) { sites[index].isEmpty = true }
  }

  /// The same of hosts whose engines are to end: one that has lost its power is given no more time than it takes to see that.
  mutating func askToEnd(_ orders: [Order], _ script: String) throws(ClusterError) -> [Result<JSONValue, ClusterError>] {
    let asked = orders.filter { sites[$0.site].failures < Self.mostFailures }
    let began = MonotonicClock.now
    let answers = try ask(asked, script, limit: options.connectTimeout + .seconds(5))
    let wasLong = MonotonicClock.now - began >= options.connectTimeout
    var found: [Int: Result<JSONValue, ClusterError>] = [:]
    for (order, answer) in zip(asked, answers) {
      found[order.site] = answer
      switch answer {
      case .success: sites[order.site].failures = 0
      case .failure(let error):
        sites[order.site].failures += wasLong ? Self.mostFailures : 1
        lastFailure = error
        if error.exitCode == .timedOut { forgetConnection(to: sites[order.site].host) }
      }
    }
    return orders.map { order in
      found[order.site]
        ?? .failure(
          ClusterError(.refused, "\(sites[order.site].host.name) does not answer: what it runs for the cluster may go on there"))
    }
  }

  /// A kept connection over which nothing comes any more: the next command makes another.
  private func forgetConnection(to host: SSHHost) {
    guard sockets != nil else { return }
    var words = words(host, [])
    words.insert(contentsOf: ["-O", "exit"], at: options.sshCommand.count)
    _ = try? ToolCommand(words, environment: environment, limit: .seconds(2)).run()
  }

  /// Learns of engines whose start nobody has heard the answer of.
  mutating func search() throws(ClusterError) {
    let used = sites.indices.filter { !sites[$0].planned.isEmpty }
    if used.isEmpty { return }
    let orders = used.map { index -> Order in
      (
        index,
        [
          "directory": .string(sites[index].directory), "name": .string(sites[index].name), "engines": [:],
          "planned": .array(sites[index].planned.sorted().map { .int($0) }),
        ]
      )
    }
    var failure: ClusterError?
    for (index, answer) in zip(used, try askToEnd(orders, RemoteScript.search)) {
      switch answer {
      case .success(let answer):
        if let words = answer["error"]?.stringValue, !words.isEmpty {
          failure = ClusterError(.refused, "\(sites[index].host.name): \(words)")
          continue
        }
        // One that was given up has begun after all.
        for engine in sites[index].planned { ended[engine] = nil }
        note(engines: answer, of: index)
        for engine in sites[index].planned where sites[index].processes[engine] == nil { ended[engine] = .cancelled(by: "") }
        sites[index].planned = []
      case .failure(let error): failure = error
      }
    }
    if let failure { throw failure }
  }
}
