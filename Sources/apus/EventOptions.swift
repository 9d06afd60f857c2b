import ApusClient
import ApusCluster
import ApusMessaging

extension Timestamp {
  /// - Parameter text: of `--since`: so long ago, or a moment.
  init(since text: String) throws(ClusterError) {
    if let seconds = DurationText.seconds(text), seconds < 1e11 {
      self.init(microseconds: Timestamp.now().microseconds - Int(seconds * 1_000_000))
      return
    }
    guard let moment = Timestamp(text) ?? Timestamp(text + "T00:00") else {
      throw ClusterError(
        .usage, "--since says '\(text)', which is neither a time nor a moment",
        advice: "For example: 90s, 10m, 2h, 1d, 2026-01-31T09:00.")
    }
    self = moment
  }
}

extension CommandContext {
  /// A text option; `nil` where it is empty.
  func text(_ trait: String) throws(ClusterError) -> String? {
    let text = try configuration.string(trait, of: command.application)
    return text?.isEmpty == false ? text : nil
  }

  /// What `story` and `trace` are to be about.
  func storyFilter() throws(ClusterError) -> StoryFilter {
    var filter = StoryFilter()
    if let tasks = try text("task") { filter.tasks = Set(tasks.split(separator: ",").map { MessageID(String($0)) }) }
    if let engine = try text("engine") { filter.engine = StoryFilter.Engine(engine) }
    if let since = try text("since") { filter.since = try Timestamp(since: since) }
    guard command == .story else { return filter }
    filter.client = try text("client")
    guard let names = try text("kind") else { return filter }
    var kinds: Set<StoryEvent.Kind> = []
    for name in names.split(separator: ",").map(String.init) {
      let found = StoryEvent.Kind.named(name)
      guard !found.isEmpty else {
        let near = Suggestion.nearest(to: name, among: StoryEvent.Kind.all.map(\.rawValue) + ["task", "engine", "client"])
        throw ClusterError(
          .usage, "there is no kind of event '\(name)'\(near.map { "; did you mean '\($0)'?" } ?? "")",
          advice: "'apus story --help' lists the kinds.")
      }
      kinds.formUnion(found)
    }
    filter.kinds = kinds
    return filter
  }

  /// Engines that this profile's launchers know to have ended; asked of their systems where the cluster is a profile's.
  func endedEngines(at path: String) -> [EndedEngine] {
    let profile = selection.profile
    guard Path.parent(path) == profile.security else { return [] }
    let id = (try? configuration.string("cluster_id", of: command.application)) ?? ""
    guard var status = try? ClusterStatus(reading: profile.clusterFile(id)) else { return [] }
    status.ask(environment)
    for trouble in status.troubles { note(.warning, trouble.description) }
    return status.file.ended
  }
}
