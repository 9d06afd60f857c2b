import ApusClient
import ApusCluster
import ApusMessaging

/// `apus scale`.
struct ScaleCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  private enum Wish {
    case fixed(Int, isForced: Bool)
    case range(ClosedRange<Int>)
    /// Only look.
    case nothing
  }

  func run() async throws(ClusterError) -> ExitCode {
    let wish = try wish()
    let connection = try ClusterConnection(context)
    let patience = try context.duration("timeout")
    return try await connection.withClient { client in
      let isSupervised = try await isSupervised(client)
      switch wish {
      case .fixed(let number, let isForced) where !isSupervised:
        return try await UnsupervisedScaling(context, patience).scale(client, to: number, isForced: isForced)
      case .fixed(let number, let isForced):
        let follower = WishFollower(context, patience, \.wish) { other in
          let range = other.range.map {
            $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)"
          }
          return "another client wants \(range ?? "another number of") engines since"
        }
        return try await follower.follow(client) { try await client.scale(to: number, isForced: isForced) }
      case .range(let range): try await client.adapt(to: range)
      case .nothing: break
      }
      show(try await client.scaling(), engines: client.engines.count)
      return .success
    }
  }

  private static let launcherPatience = Duration.seconds(5)

  /// Whether a launcher stays with the cluster: right after a start the controller may not have heard of it yet.
  private func isSupervised(_ client: Client) async throws -> Bool {
    let deadline = ContinuousClock.now + Self.launcherPatience
    while true {
      if try await client.scaling().isSupervised { return true }
      guard ContinuousClock.now < deadline, try UnsupervisedScaling(context, nil).hasLauncher else { return false }
      // It asks the controller once a second.
      try await Task.sleep(for: .milliseconds(50))
    }
  }

  private func wish() throws(ClusterError) -> Wish {
    let application = context.command.application
    let (low, high) = (
      try context.configuration.integer("least", of: application), try context.configuration.integer("most", of: application)
    )
    let isForced = try context.configuration.bool("force", of: application) ?? false
    if let text = context.arguments.operands.first {
      guard let number = Int(text), (0...100_000).contains(number), low == nil, high == nil else {
        throw ClusterError(.usage, "'apus scale' takes a number of engines, or --min and --max", advice: "Like 'apus scale 8'.")
      }
      return .fixed(number, isForced: isForced)
    }
    guard low != nil || high != nil else { return .nothing }
    let range = (low ?? min(1, high ?? 1), high ?? max(1, low ?? 1))
    guard range.0 <= range.1 else {
      throw ClusterError(.usage, "--min is \(range.0), and --max \(range.1)", advice: "At least should be at most.")
    }
    return .range(range.0...range.1)
  }

  private func show(_ scaling: ClusterScaling, engines: Int) {
    if (try? context.printsJSON) ?? false {
      return context.output.print(String(decoding: scaling.report.encoded(pretty: true), as: UTF8.self) + "\n")
    }
    guard scaling.isSupervised else {
      return context.output.print("\(engines) engines; no launcher watches over this cluster: its size is what it is\n")
    }
    let range = scaling.range.map {
      $0.lowerBound == $0.upperBound ? "\($0.lowerBound) wanted" : "\($0.lowerBound) to \($0.upperBound)"
    }
    context.output.print("\(engines) engines\(range.map { ", \($0)" } ?? "")\n")
    for decision in scaling.decisions { context.output.print("  \(decision.reason)\n") }
  }
}

/// `apus restart`.
struct RestartCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    var ids: [EngineID] = []
    for text in context.arguments.operands {
      guard let number = Int(text), number >= 0 else {
        throw ClusterError(
          .usage, "'\(text)' is no engine's id", advice: "Like 'apus restart 0 3'; without ids all are started again.")
      }
      ids.append(EngineID(number))
    }
    let connection = try ClusterConnection(context)
    let patience = try context.duration("timeout")
    return try await connection.withClient { client in
      let known = client.engines
      if let missing = ids.first(where: { id in !known.contains { $0.id == id } }) {
        throw ClusterError(.missing, "there is no engine \(missing)", advice: "'apus status' shows which there are.")
      }
      let follower = WishFollower(context, patience, \.renewal) { _ in "another client wants engines to be started again since" }
      return try await follower.follow(client) { try await client.restart(ids.isEmpty ? nil : ids) }
    }
  }
}
