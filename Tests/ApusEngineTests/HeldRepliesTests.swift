import ApusMessaging
import Foundation
import Testing

@testable import ApusEngine
@testable import Transport

@Suite struct HeldRepliesTests {
  private static let key = "0123456789"

  /// It may have been here already, before the new controller knew which tasks this engine has.
  @Test("what is sent again after a restart is no replay of what was sent before", arguments: [false, true])
  func again(isAlone: Bool) throws {
    let path = NSTemporaryDirectory() + "held-\(UUID().uuidString.prefix(8))"
    let listener = try #require(LocalListener(path: path))
    let line = try #require(LocalSocket(connectingTo: path))
    let end = try #require(try listener.accept())
    let engineSession = EngineSession(uuid: EngineUUID("engine"), key: Self.key)
    let replies = HeldReplies(engineSession: engineSession) { _ in }
    replies.keepReplies(true)
    replies.use(nil, line)
    let parent = Frame(["msg_id": "task", "msg_type": "apply_request", "session": "client"])
    // A third identity has no place in a batch.
    let identities = [Frame("task_out"), Frame("client")] + (isAlone ? [Frame("further")] : [])
    let reply = engineSession.message(
      .applyReply, content: Frame(["status": "ok"]), parent: parent, metadata: engineSession.engineMetadata,
      identities: identities, forBatch: true)
    replies.hold(reply, task: "task", isLast: true)
    replies.account(waiting: [])

    let controller = Session(key: Self.key)
    func next() throws -> Envelope {
      guard case .message(let frames) = end.receive() else { throw CancellationError() }
      guard MessageBatch.isBatch(frames, identities: 1) else { return try controller.open(frames, sealedFor: .reply(.task)) }
      var batch = try controller.openBatch(frames, .engineToScheduler)
      return try #require(try batch.next())
    }
    let (first, account, second) = (try next(), try next(), try next())
    #expect(account.messageType == .tasksHeld)
    #expect(first.messageType == .applyReply && second.messageType == .applyReply)
    #expect(first.messageID != second.messageID)
    #expect(second.parentID == "task" && second.contentFrame == first.contentFrame)
    #expect(try first.header().date == second.header().date)
  }
}
