import ApusClient
import ApusMessaging

/// Waits until something happens in a cluster, without asking again and again.
struct ClusterChanges {
  private let client: Client
  private var position: StoryPosition?
  /// A controller of ipyparallel tells nothing: then every wait is over at once.
  private var isTold = true

  init(_ client: Client) { self.client = client }

  /// What happens from now on is news.
  mutating func mark() async throws {
    guard isTold else { return }
    do {
      let page = try await client.storyPage(from: .end, limit: 1)
      position = .number(page.end, log: page.log)
    } catch let error as RemoteError where error.name != "RuntimeError" { isTold = false }
  }

  /// Until the first event since `mark`.
  mutating func wait() async throws {
    guard isTold, var position else { return }
    while !Task.isCancelled {
      let page: StoryPage
      do { page = try await client.storyPage(from: position, limit: 1, wait: .seconds(10)) } catch let error as ClientError
        where error.code == .timeout
      {
        // The controller was started again, perhaps: that is a change, or is going to be an error.
        return
      }
      if !page.events.isEmpty || page.isRestarted || page.lost > 0 { return }
      position = StoryPosition(after: page)
    }
  }
}
