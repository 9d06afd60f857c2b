import Transport

/// How a reply says that its task ended (protocol sections 7.2 and 7.3). Metadata and content both have a `status`; a task has succeeded if
/// whichever is there says so. Schedulers and clients ask here, so that no task ends well for one and badly for another.
public enum ReplyStatus: Sendable {
  case ok, error, aborted

  init(metadata: String?, content: String?) {
    let words = [metadata, content]
    if words.contains("aborted") {
      self = .aborted
    } else {
      self = words.contains("ok") && !words.contains { $0 != nil && $0 != "ok" } ? .ok : .error
    }
  }
}

extension Envelope {
  private static let plainSuccess = Frame("{\"status\":\"ok\"}")

  public var replyStatus: ReplyStatus {
    // What nearly every content is.
    let content = contentFrame == Self.plainSuccess ? "ok" : Self.string("status", of: contentFrame)
    return ReplyStatus(metadata: Self.string("status", of: metadataFrame), content: content)
  }
}
