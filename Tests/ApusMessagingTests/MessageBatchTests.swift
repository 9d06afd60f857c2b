import ApusMessaging
import Testing
import Transport

@Suite("Message batches") struct MessageBatchTests {
  let outer = Frame("hop")

  func message(_ number: Int, buffers: [Frame] = []) -> Envelope {
    var session = Session(id: SessionID("s"), key: "k")
    return session.message(
      .applyRequest, content: ["n": .int(number)], metadata: ["same": true], identities: [Frame("client")], buffers: buffers)
  }

  func batch(_ messages: [Envelope], key: String = "k", _ scope: MessageScope = .clientToScheduler) -> [Frame] {
    var writer = MessageBatchWriter()
    for message in messages {
      let isTaken = writer.append(message.identities.first, message.payload)
      #expect(isTaken)
    }
    defer { #expect(writer.isEmpty) }
    return [outer] + writer.take(signedBy: Signer(key: Array(key.utf8)), scope)
  }

  func read(_ frames: [Frame], _ session: Session) throws -> [Envelope] {
    var reader = try session.openBatch(frames, .clientToScheduler)
    var found: [Envelope] = []
    while let message = try reader.next() { found.append(message) }
    return found
  }

  @Test func messagesComeOutAsTheyWentIn() throws {
    let messages = [message(1), message(2, buffers: [.empty, Frame("x"), Frame([UInt8](repeating: 7, count: 5000))]), message(3)]
    let frames = batch(messages)
    #expect(MessageBatch.isBatch(frames, identities: 1) && !MessageBatch.isBatch(messages[0].frames, identities: 1))
    let session = Session(id: SessionID("r"), key: "k")
    let found = try read(frames, session)
    #expect(found.count == 3)
    for (message, found) in zip(messages, found) {
      #expect(Array(found.identities) == [outer, Frame("client")])
      #expect(found.signature.isEmpty && found.signedParts == message.signedParts && Array(found.buffers) == Array(message.buffers))
      #expect(found.byteCount == found.frames.reduce(0) { $0 + $1.count })
      // Passed on alone it is signed as it was at first.
      #expect(Array(found.payload(signedBy: session.signer)) == Array(message.payload))
    }
    #expect(found[0].metadataFrame.isIdentical(to: found[2].metadataFrame))
    #expect(Array(messages[0].payload(signedBy: session.signer)) == Array(messages[0].payload))
  }

  @Test func aBatchIsVerifiedOnce() throws {
    let session = Session(id: SessionID("r"), key: "k")
    let frames = batch([message(1)])
    let found = try read(frames, session)
    #expect(found.count == 1)
    #expect(throws: Session.Rejection.replayed) { try read(frames, session) }
    #expect(throws: Session.Rejection.forged) { try read(batch([message(1)], key: "other"), session) }
    #expect(throws: Session.Rejection.unsigned) { try read(batch([message(1)], key: ""), session) }
    var changed = batch([message(2)])
    changed[3] = Frame(changed[3].bytes.dropLast() + [0])
    #expect(throws: Session.Rejection.forged) { try read(changed, session) }
    // What was meant for another hop is nobody's here.
    #expect(throws: Session.Rejection.forged) { try read(batch([message(1)], .engineToScheduler), session) }
    #expect(throws: Session.Rejection.forged) { try read(batch([message(1)], .schedulerToEngine), session) }
    // A message's own signature is none of a batch.
    let single = message(4)
    #expect(throws: Session.Rejection.forged) {
      try read([outer, MessageBatch.marker, single.signature, Frame(single.signedParts.flatMap(\.bytes))], session)
    }
    let open = Session(id: SessionID("r"), key: "")
    let unsigned = try read(batch([message(1)], key: ""), open)
    #expect(unsigned.count == 1)
  }

  @Test func damagedBodiesAreRefused() throws {
    let whole = batch([message(1), message(2)])[3].bytes
    let first = batch([message(1)])[3].count
    let session = Session(id: SessionID("r"), key: "")
    func messages(_ body: [UInt8]) -> (count: Int, isDamaged: Bool) {
      guard var reader = try? session.openBatch([outer, MessageBatch.marker, .empty, Frame(body)], .clientToScheduler) else {
        return (0, true)
      }
      var count = 0
      do {
        while try reader.next() != nil { count += 1 }
        return (count, false)
      } catch {
        // Nothing is read behind the damage.
        do {
          let rest = try reader.next()
          #expect(rest == nil)
        } catch { Issue.record("a second error") }
        return (count, true)
      }
    }
    #expect(messages(whole) == (2, false))
    #expect(messages([]) == (0, false))
    for length in 1..<whole.count {
      let found = messages(Array(whole.prefix(length)))
      #expect(found.isDamaged == (length != first) && found.count == (length < first ? 0 : 1))
    }
    #expect(messages([0, 3] + [UInt8](repeating: 0, count: 12)).isDamaged, "fewer than four dictionaries")
    #expect(messages([9, 4] + [UInt8](repeating: 0, count: 16)).isDamaged, "more identities than frames")
    #expect(messages([0, 4] + [UInt8](repeating: 254, count: 16)).isDamaged, "absurd lengths")
    #expect(messages([0, 4] + [UInt8](repeating: 255, count: 16)).isDamaged, "as before, where there was nothing before")
    let empty: [UInt8] = [0, 4] + [UInt8](repeating: 0, count: 16)
    #expect(messages(empty + [0, 4] + [UInt8](repeating: 255, count: 16)) == (2, false))
    #expect(messages(empty + [0, 5] + [UInt8](repeating: 255, count: 20)) == (1, true), "a frame that the one before had not")
    var random = SystemRandomNumberGenerator()
    let seed = random.next()
    var state = seed
    for _ in 0..<2000 {
      var body = whole
      for _ in 0..<3 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        body[Int(state >> 33) % body.count] = UInt8(truncatingIfNeeded: state >> 24)
      }
      #expect(messages(body).count <= 2 + whole.count / 18, "seed \(seed)")
    }
  }

  @Test func whatTheMessageBeforeHadIsNotSaidAgain() throws {
    let function = Frame([UInt8](repeating: 9, count: 3000))
    let messages = (1...8).map { message($0, buffers: [function, Frame("\($0 / 3)")]) }
    let frames = batch(messages)
    #expect(frames[3].count < 3000 + 8 * 300)
    let found = try read(frames, Session(id: SessionID("r"), key: "k"))
    #expect(found.map { Array($0.buffers) } == messages.map { Array($0.buffers) })
    #expect(
      found.allSatisfy { $0.buffers.first.map { $0.isIdentical(to: found[0].buffers[found[0].buffers.startIndex]) } ?? false })
    // Each of other frames, and of other numbers of them.
    let mixed = [
      message(1, buffers: [function]), message(2), message(3, buffers: [function, function]), message(4, buffers: [function]),
    ]
    let back = try read(batch(mixed), Session(id: SessionID("r"), key: "k"))
    #expect(back.map { Array($0.buffers) } == mixed.map { Array($0.buffers) })
    // A writer begins anew with each batch.
    var writer = MessageBatchWriter()
    for message in messages.prefix(2) {
      let isTaken = writer.append(message.identities.first, message.payload)
      #expect(isTaken)
      let alone = try read(
        [outer] + writer.take(signedBy: Signer(key: Array("k".utf8)), .clientToScheduler), Session(id: SessionID("r"), key: "k"))
      #expect(alone.first.map { Array($0.buffers) } == Array(message.buffers))
    }
  }

  @Test func largeMessagesTravelAlone() {
    var writer = MessageBatchWriter()
    let large = message(1, buffers: [Frame([UInt8](repeating: 1, count: MessageBatch.largestMessage))])
    var isTaken = writer.append(nil, large.payload)
    #expect(!isTaken && writer.isEmpty)
    let many = message(2, buffers: [Frame](repeating: .empty, count: 300))
    isTaken = writer.append(nil, many.payload)
    #expect(!isTaken && writer.isEmpty)
    var count = 0
    while !writer.isFull {
      isTaken = writer.append(nil, message(count).payload)
      #expect(isTaken)
      count += 1
    }
    #expect(count == 32)
  }
}
