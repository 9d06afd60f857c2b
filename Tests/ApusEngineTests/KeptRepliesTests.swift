import ApusMessaging
import TestSupport
import Testing
import Transport

@testable import ApusEngine

@Suite struct KeptRepliesTests {
  private func reply(_ text: String, bytes: Int = 0) -> Envelope {
    Envelope(
      signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: Frame(text),
      buffers: bytes > 0 ? [Frame([UInt8](repeating: 0, count: bytes))] : [])
  }

  @Test func repliesAreKeptInTheirOrderUntilTheyAreConfirmed() {
    var kept = KeptReplies()
    for id in ["a", "b", "c"] as [MessageID] { kept.keep(reply(id.text), to: id) }
    kept.confirm(["b", "unknown"])
    #expect(kept.all.map(\.id) == ["a", "c"])
    kept.confirm(["a", "c"])
    #expect(kept.all.isEmpty && kept.bytes == 0 && kept.count == 0)
  }

  /// The confirmation of the first must not drop the second.
  @Test func aTaskThatIsTriedHereTwiceHasTwoReplies() {
    var kept = KeptReplies()
    kept.keep(reply("first"), to: "a")
    kept.keep(reply("b"), to: "b")
    kept.keep(reply("second"), to: "a")
    kept.confirm(["a"])
    #expect(kept.all.map(\.reply.contentFrame.text) == ["b", "second"])
    kept.confirm(["a"])
    #expect(kept.all.map(\.id) == ["b"])
  }

  /// Against a list that is searched from its beginning.
  @Test func whateverHappensItIsAsWithAList() {
    let seed = SeededGenerator.seed()
    var random = SeededGenerator(seed: seed)
    for _ in 0..<50 {
      let limit = Int.random(in: 50...2000, using: &random)
      var kept = KeptReplies(limit: limit)
      var list: [(id: MessageID, reply: Envelope, count: Int)] = []
      for number in 0..<400 {
        let id = MessageID("t\(Int.random(in: 0..<40, using: &random))")
        if random.chance(60) {
          let reply = reply("\(number)", bytes: Int.random(in: 1...100, using: &random))
          kept.keep(reply, to: id)
          let before = list.firstIndex { $0.id == id }.map { list.remove(at: $0).count } ?? 0
          list.append((id, reply, before + 1))
          while list.count > 1, list.reduce(0, { $0 + $1.reply.byteCount }) > limit { list.removeFirst() }
        } else {
          kept.confirm([id])
          if let place = list.firstIndex(where: { $0.id == id }) {
            list[place].count -= 1
            if list[place].count == 0 { list.remove(at: place) }
          }
        }
        #expect(kept.all.map(\.reply.contentFrame) == list.map(\.reply.contentFrame), "APUS_SEED=\(seed)")
        #expect(kept.bytes == list.reduce(0) { $0 + $1.reply.byteCount } && kept.count == list.count, "APUS_SEED=\(seed)")
      }
    }
  }

  /// The batch that an engine collects.
  private struct Batch {
    private static let signer = Signer(key: Array("k".utf8))
    private var writer = MessageBatchWriter()
    var isEmpty: Bool { writer.isEmpty }

    /// - Returns: its place in the batch.
    mutating func append(_ reply: Envelope) -> Int {
      let isTaken = writer.append(reply.identities.last, reply.payload)
      #expect(isTaken)
      return writer.count - 1
    }
    mutating func take() -> [Frame] { [Frame("hop")] + writer.take(signedBy: Self.signer, .engineToScheduler) }
  }

  private func routed(_ text: String, bytes: Int = 0) -> Envelope {
    reply(text, bytes: bytes).routed(to: [Frame("hop"), Frame("client")])
  }

  @Test func whatLeavesTogetherIsKeptTogetherAndComesBackAsItWas() {
    var kept = KeptReplies()
    var batch = Batch()
    // One that is in the batch, and not kept: whoever is before the others changes nothing.
    _ = batch.append(routed("of another"))
    let replies = ["a", "b", "c"].map { routed($0, bytes: 10) }
    for (id, reply) in zip(["a", "b", "c"] as [MessageID], replies) { kept.keep(reply, to: id, inBatchAt: batch.append(reply)) }
    #expect(kept.all.map(\.reply.frames) == replies.map(\.frames))
    kept.left(batch.take())
    kept.keep(routed("alone"), to: "d")
    let next = routed("next")
    kept.keep(next, to: "e", inBatchAt: batch.append(next))
    #expect(kept.all.map(\.id) == ["a", "b", "c", "d", "e"])
    #expect(kept.all.prefix(3).map(\.reply.frames) == replies.map(\.frames))
    kept.confirm(["b", "a"])
    #expect(kept.all.map(\.reply.contentFrame.text) == ["c", "alone", "next"])
    kept.confirm(["c", "d", "e"])
    kept.left(batch.take())
    #expect(kept.all.isEmpty && kept.bytes == 0 && kept.count == 0)
  }

  /// Against a list that is searched from its beginning.
  @Test func whateverHappensToBatchesItIsAsWithAList() {
    let seed = SeededGenerator.seed()
    var random = SeededGenerator(seed: seed)
    for _ in 0..<50 {
      let limit = Int.random(in: 500...5000, using: &random)
      var kept = KeptReplies(limit: limit)
      var batch = Batch()
      var list: [(id: MessageID, reply: Envelope, count: Int, batch: Int?)] = []
      /// Of all replies that are in each batch: they take their memory until the last one is gone.
      var batches: [Int] = [0]
      func bytes() -> Int {
        let present = Set(list.compactMap(\.batch)).union([batches.count - 1])
        return list.reduce(0) { $1.batch == nil ? $0 + $1.reply.byteCount : $0 } + present.reduce(0) { $0 + batches[$1] }
      }
      for number in 0..<400 {
        let id = MessageID("t\(Int.random(in: 0..<40, using: &random))")
        if random.chance(60) {
          let reply = routed("\(number)", bytes: Int.random(in: 1...100, using: &random))
          let isAlone = random.chance(20)
          if isAlone {
            kept.keep(reply, to: id)
          } else {
            batches[batches.count - 1] += reply.byteCount
            kept.keep(reply, to: id, inBatchAt: batch.append(reply))
          }
          let before = list.firstIndex { $0.id == id }.map { list.remove(at: $0).count } ?? 0
          list.append((id, reply, before + 1, isAlone ? nil : batches.count - 1))
          while list.count > 1, bytes() > limit { list.removeFirst() }
        } else if random.chance(70) {
          kept.confirm([id])
          if let place = list.firstIndex(where: { $0.id == id }) {
            list[place].count -= 1
            if list[place].count == 0 { list.remove(at: place) }
          }
        } else if !batch.isEmpty {
          kept.left(batch.take())
          batches.append(0)
        }
        #expect(kept.all.map(\.reply.frames) == list.map(\.reply.frames), "APUS_SEED=\(seed)")
        #expect(kept.bytes == bytes() && kept.count == list.count, "APUS_SEED=\(seed)")
      }
    }
  }

  /// A task that ended elsewhere is confirmed to nobody here.
  @Test func fewRepliesThatNobodyConfirmsDoNotKeepAllTheOthers() {
    var kept = KeptReplies()
    var left: [(id: MessageID, reply: Envelope)] = []
    for number in 0..<500 {
      var batch = Batch()
      let replies = (0..<8).map { (id: MessageID("t\(number)_\($0)"), reply: routed("\(number) \($0)", bytes: 1000)) }
      for (id, reply) in replies { kept.keep(reply, to: id, inBatchAt: batch.append(reply)) }
      kept.left(batch.take())
      // Of every fifth half is left, of others one reply.
      let stay = number % 5 == 0 ? 1...4 : 3...3
      kept.confirm(replies.indices.filter { !stay.contains($0) }.map { replies[$0].id })
      left += replies[stay]
    }
    #expect(kept.all.map(\.id) == left.map(\.id) && kept.all.map(\.reply.frames) == left.map(\.reply.frames))
    let bytes = left.reduce(0) { $0 + $1.reply.byteCount }
    #expect(kept.bytes >= bytes && kept.bytes < 3 * bytes)
    kept.confirm(left.map(\.id))
    #expect(kept.all.isEmpty && kept.bytes == 0 && kept.count == 0)
  }

  @Test func beyondItsLimitTheOldestGo() {
    var kept = KeptReplies(limit: 2500)
    for id in ["a", "b", "c"] as [MessageID] { kept.keep(reply(id.text, bytes: 1000), to: id) }
    #expect(kept.all.map(\.id) == ["b", "c"])
    // One that is larger than everything is kept all the same.
    kept.keep(reply("d", bytes: 5000), to: "d")
    #expect(kept.all.map(\.id) == ["d"])
    kept.removeAll()
    #expect(kept.bytes == 0 && kept.all.isEmpty)
  }

  @Test func theAccountSaysWhatIsAFailureAndOfWhichTry() {
    func reply(_ metadata: JSONValue, _ status: String = "ok") -> Envelope {
      Envelope(
        signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: Frame(metadata),
        content: Frame(["status": .string(status)]))
    }
    var kept = KeptReplies()
    kept.keep(reply(["status": "ok"]), to: "ok")
    kept.keep(reply(["status": "error", "attempt": 2], "error"), to: "error")
    kept.keep(reply(["status": "error", "dependencies_met": false], "error"), to: "unmet")
    kept.keep(reply(["status": "error"], "error"), to: "here again")
    kept.keep(reply(["status": "ok"]), to: "done, and here again")
    for _ in 0..<2 { kept.keep(reply(["status": "error", "attempt": 1], "error"), to: "twice") }
    let account = kept.account(waiting: [
      ("waits", .emptyObject), ("here again", Frame(["attempt": 4])), ("done, and here again", Frame(["label": "attempt"])),
    ])
    #expect(account.ids == ["waits", "here again", "done, and here again", "ok", "error", "unmet", "twice"])
    #expect(account.waiting.map(\.attempt) == [0, 4, 0])
    #expect(account.failed.map(\.id) == ["error", "unmet", "twice"])
    #expect(account.failed.map(\.attempt) == [2, 0, 1])
    #expect(account.replies.count == 5)
    // Who takes the place of another has heard of one reply to each.
    kept.confirm(["twice"])
    #expect(!kept.all.map(\.id).contains("twice"))
  }

  @Test func memoryOfWhatIsConfirmedIsNotHeld() {
    var kept = KeptReplies()
    kept.keep(reply("stays"), to: "stays")
    for number in 0..<10_000 {
      let id = MessageID("t\(number)")
      kept.keep(reply("x"), to: id)
      kept.confirm([id])
    }
    #expect(kept.all.map(\.id) == ["stays"])
    #expect(kept.count == 1)
  }
}
