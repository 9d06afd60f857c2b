import ApusMessaging
import ApusProcess
import Glibc

/// Hosts and the kept connections to them.
extension SSHLauncher {
  mutating func makeSockets() {
    guard sockets == nil else { return }
    // Short: the path of a socket has 107 characters at most.
    var template = Array("/tmp/apus-ssh-XXXXXX".utf8CString)
    if let path = mkdtemp(&template) { sockets = String(cString: path) }
  }

  func words(_ host: SSHHost, _ command: [String], options added: [String] = []) -> [String] {
    var words = options.sshCommand + added
    words += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=\(connectSeconds)", "-o", "ServerAliveInterval=15"]
    let given = options.sshArguments + host.sshArguments
    if let sockets, !given.contains(where: { $0.contains("ControlPath") || $0.hasPrefix("-S") }) {
      words += ["-o", "ControlMaster=auto", "-o", "ControlPath=\(sockets)/%C", "-o", "ControlPersist=60"]
    }
    words += given
    if let port = host.port { words += ["-p", String(port)] }
    return words + [host.destination] + command
  }

  /// As ssh counts.
  var connectSeconds: Int { max(1, Int((options.connectTimeout.seconds + 0.999).rounded(.down))) }

  /// What a host is told, by its place in `sites`.
  typealias Order = (site: Int, order: JSONValue)

  /// Asks hosts at the same time.
  /// - Parameter grace: how long they may go on where their engines are to end.
  /// - Returns: each one's answer, or why it gave none.
  mutating func ask(_ orders: [Order], _ script: String, limit: Duration? = nil, grace: Duration = .zero) throws(ClusterError)
    -> [Result<JSONValue, ClusterError>]
  {
    try askTimed(orders, script, limit: limit, grace: grace).map(\.answer)
  }

  /// The same, with how long each host took.
  mutating func askTimed(_ orders: [Order], _ script: String, limit given: Duration? = nil, grace: Duration = .zero)
    throws(ClusterError) -> [(answer: Result<JSONValue, ClusterError>, elapsed: Duration)]
  {
    makeSockets()
    var limit = given ?? options.connectTimeout + .seconds(10)
    if let deadline { limit = max(.seconds(1), min(limit, deadline - MonotonicClock.now)) }
    let tools = orders.map { site, order in
      let host = sites[site].host
      return ToolCommand(
        words(host, [ShellText.quoted(host.python ?? options.python), "-"]), environment: environment,
        input: RemoteScript.text(script, order), limit: limit)
    }
    let results: [ToolCommand.Result]
    do throws(ProcessError) {
      results = try ToolCommand.run(tools, until: isStopping ? nil : interruption, grace: grace)
    } catch {
      throw ClusterError(ClusterError(error).exitCode, error.reason, advice: "Is OpenSSH's client installed on this machine?")
    }
    return zip(orders, results).map { order, result in (answer(sites[order.site].host, result), result.elapsed) }
  }

  private func answer(_ host: SSHHost, _ result: ToolCommand.Result) -> Result<JSONValue, ClusterError> {
    if let answer = RemoteScript.answer(in: result.output) { return .success(answer) }
    let lines = (result.errors.isEmpty ? result.output : result.errors).split(whereSeparator: \.isNewline).suffix(8)
    let words = lines.isEmpty ? "" : ": " + lines.joined(separator: "\n  ")
    guard let status = result.status else {
      return .failure(ClusterError(.timedOut, "\(host.name) did not answer within \(result.elapsed.secondsText)\(words)"))
    }
    if status == .exited(127) {
      let python = host.python ?? options.python
      return .failure(
        ClusterError(
          .missingProgram, "there is no \(python) on \(host.name)\(words)",
          advice: "SSHLauncher.remote_python names an interpreter of that host, best by its whole path."))
    }
    return .failure(
      ClusterError(
        .refused, "\(host.name) cannot be worked with\(words.isEmpty ? ": ssh ended with \(status)" : words)",
        advice:
          "It has \(connectSeconds) s to be connected to (SSHLauncher.connect_timeout). '\(ShellText.line(options.sshCommand + [host.destination])) true' must work without a question."
      ))
  }

  // MARK: the end

  /// Directories there, and the kept connections.
  public mutating func removeFiles(logsOf engines: Set<Int>) {
    let used = sites.indices.filter {
      !sites[$0].directory.isEmpty && !sites[$0].isEmpty && sites[$0].planned.isEmpty && sites[$0].failures < Self.mostFailures
    }
    let orders = used.map { (site: $0, order: ["directory": .string(sites[$0].directory), "engines": [:]] as JSONValue) }
    if !orders.isEmpty { _ = try? ask(orders, RemoteScript.removal, limit: .seconds(10)) }
    closeConnections()
  }

  public mutating func leave() { closeConnections() }

  private mutating func closeConnections() {
    removeFormerSockets()
    guard let sockets else { return }
    closeConnections(in: sockets)
    self.sockets = nil
  }

  private func closeConnections(in sockets: String) {
    let names = FileSystem.entries(of: sockets)
    // The path says which connection is meant; a host must be named all the same.
    let anyHost = sites.first?.host.destination ?? "localhost"
    let tools = names.map {
      ToolCommand(
        options.sshCommand + ["-o", "ControlPath=\(Path.join(sockets, $0))", "-O", "exit", anyHost], environment: environment,
        limit: .seconds(5))
    }
    _ = try? ToolCommand.run(tools)
    for name in FileSystem.entries(of: sockets) { FileSystem.remove(Path.join(sockets, name)) }
    rmdir(sockets)
  }

  /// Only when the engines are gone: until then another launcher may be at work with it.
  private func removeFormerSockets() {
    guard let path = formerSockets, path.hasPrefix("/tmp/apus-ssh-"), sites.allSatisfy(\.isEmpty) else { return }
    // Each is a process of this host, which nobody would end for a minute: its launcher was killed.
    closeConnections(in: path)
  }
}
