@testable import ApusClient
import ApusMessaging
import Transport

/// What clients ask for.
extension ClientProcess {
  /// A task of some kind.
  func invent(_ number: TaskNumber) -> (TaskAccount, JSONObject) {
    let scenario = cluster.scenario
    var metadata: JSONObject = [:]
    var deeds: [TaskAccount.Deed] = [.succeed]
    if world.chance(15) { deeds = (0..<world.pick(1...3)).map { _ in .fail } + (world.chance(60) ? [.succeed] : []) }
    if world.chance(4) { deeds.insert(.decline, at: 0) }
    let retries = world.chance(40) ? world.pick(1...3) : 0
    if retries > 0 { metadata["retries"] = .int(retries) }
    var names: Set<MessageID> = []
    for key in ["after", "follow"] where world.chance(key == "after" ? 12 : 4) {
      let some = Set((0..<world.pick(1...2)).compactMap { _ in world.pick(Array(earlier.suffix(15))) })
      guard !some.isEmpty else { continue }
      names.formUnion(some)
      metadata[key] = Dependency(some, all: world.chance(70), success: true, failure: world.chance(50)).json
    }
    let engines = state.sortedEngines
    let target = world.chance(8) ? world.pick(engines) : nil
    if let target { metadata["targets"] = [.string(target.uuid.text)] }
    let preferences = prefer(&metadata, retries: retries, target: target?.uuid)
    let hasTimeout = world.chance(6)
    if hasTimeout { metadata["timeout"] = .double(world.logarithmic(0.05...10)) }
    let account = TaskAccount(
      id: ids.id(of: number), client: name, length: Int(1e6 * world.logarithmic(scenario.length)), deeds: deeds, retries: retries,
      hasTimeout: hasTimeout, names: names, hasTargets: target != nil, submitted: world.now)
    account.follows = metadata["follow"] != nil
    account.preferences = preferences
    return (account, metadata)
  }

  /// What the task asks for beyond ipyparallel's flags.
  private func prefer(_ metadata: inout JSONObject, retries: Int, target: EngineUUID?) -> TaskAccount.Preferences {
    let scenario = cluster.scenario
    var preferences = TaskAccount.Preferences()
    preferences.target = target
    if world.chance(scenario.priorities) {
      preferences.priority = world.pick(-3...3)
      metadata["priority"] = .int(preferences.priority)
    }
    if world.chance(scenario.needs), let needs = world.pick(Self.needs) {
      preferences.needs = needs
      if let target, let engine = cluster.engines.first(where: { $0.uuid == target }) {
        preferences.isOffered = needs.allSatisfy { engine.resources[$0.key, default: 0] >= $0.value }
      }
      metadata["resources"] = .object(JSONObject(members: needs.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) }))
    }
    guard retries > 0, world.chance(scenario.rests) else { return preferences }
    let rest = world.logarithmic(0.01...20)
    preferences.rest = Int(1e6 * rest)
    metadata["retry_delay"] = .double(rest)
    if world.chance(40), let names = world.pick([["ValueError"], ["EngineError"], ["OSError", "ValueError"], ["KeyError"]]) {
      preferences.retryOn = names
      metadata["retry_on"] = JSONValue(names)
    }
    return preferences
  }

  private static let needs: [[String: Double]] = [["gpu": 1], ["gpu": 2], ["memory": 8], ["gpu": 1, "memory": 8]]
}
