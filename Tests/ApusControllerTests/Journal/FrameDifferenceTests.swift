import ApusMessaging
import Testing
import Transport

@testable import ApusController

@Suite("Journal: what a frame has in common with the one before")
struct FrameDifferenceTests {
  private func difference(of new: [UInt8], from old: [UInt8]) -> [UInt8]? {
    var buffer: [UInt8] = [1, 2, 3]
    let isWorthIt = new.withUnsafeBytes { new in
      old.withUnsafeBytes { FrameDifference.append(of: new, from: $0, to: &buffer) }
    }
    #expect(buffer.starts(with: [1, 2, 3]) && (isWorthIt || buffer.count == 3))
    return isWorthIt ? Array(buffer[3...]) : nil
  }

  private func read(_ difference: [UInt8], from old: [UInt8]) -> [UInt8]? {
    var new: [UInt8] = []
    let isOne = difference.withUnsafeBytes { difference in
      old.withUnsafeBytes { FrameDifference.read(difference, from: $0) { new.append(contentsOf: $0) } }
    }
    return isOne ? new : nil
  }

  @Test("whatever differs, the frame comes back as it was, and takes less")
  func roundTrip() {
    let seed = SeededRandom.newSeed()
    var random = SeededRandom(seed: seed)
    var taken = 0
    for _ in 0..<5000 {
      let old = random.bytes(FrameDifference.smallest...600)
      var new = old
      for _ in 0..<Int.random(in: 0...4, using: &random) {
        let start = Int.random(in: 0...new.count, using: &random)
        let end = min(new.count, start + Int.random(in: 0...20, using: &random))
        // As many bytes as before, more, fewer, or none.
        let isSameLength = random.chance(60)
        new.replaceSubrange(start..<end, with: random.bytes(isSameLength ? end - start...end - start : 0...30))
      }
      guard let difference = self.difference(of: new, from: old) else { continue }
      taken += 1
      #expect(difference.count < new.count, "APUS_SEED=\(seed)")
      #expect(read(difference, from: old) == new, "APUS_SEED=\(seed)")
    }
    #expect(taken > 2500)
  }

  @Test(
    "wherever the two differ",
    arguments: [
      ("0123456789012345678901234567890123456789", "x123456789012345678901234567890123456789"),
      ("0123456789012345678901234567890123456789", "012345678901234567890123456789012345678x"),
      ("0123456789012345678901234567890123456789", "0123456789012345678x01234567890123456789"),
      ("0123456789012345678901234567890123456789", "3456789012345678901234567890123456789"),
      ("0123456789012345678901234567890123456789", "012345678901234567890123456789012345"),
      ("0123456789012345678901234567890123456789", "01234567890123456789012345678901234567891111"),
      ("0123456789012345678901234567890123456789", "11110123456789012345678901234567890123456789"),
      ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
      ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ])
  func places(old: String, new: String) throws {
    let difference = try #require(self.difference(of: Array(new.utf8), from: Array(old.utf8)))
    #expect(difference.count <= 20)
    #expect(read(difference, from: Array(old.utf8)) == Array(new.utf8))
  }

  @Test("what has little in common is written as it is")
  func notWorthIt() {
    var random = SeededRandom(seed: SeededRandom.newSeed())
    for count in [32, 100, 1000] {
      #expect(difference(of: random.bytes(count...count), from: random.bytes(count...count)) == nil)
      #expect(difference(of: random.bytes(count...count), from: random.bytes(count + 7...count + 7)) == nil)
    }
    #expect(difference(of: [], from: random.bytes(40...40)) == nil && difference(of: random.bytes(40...40), from: []) == nil)
  }

  @Test("nothing traps on what is no difference, and nothing is read beyond the frame before")
  func garbage() {
    let seed = SeededRandom.newSeed()
    var random = SeededRandom(seed: seed)
    for _ in 0..<5000 {
      let old = random.bytes(0...100)
      let bytes = random.chance(50) ? random.bytes(0...40) : random.bytes(1...20).flatMap { [$0, 0] }
      if let new = read(bytes, from: old) { #expect(new.count <= old.count + bytes.count, "APUS_SEED=\(seed)") }
    }
  }

  // MARK: in records

  private func finished(_ number: Int) -> JournalEntry {
    let id = MessageID("0b533fd0-77fb4b90eb163ce3867deb06_11440_\(number)")
    return .event(TaskEvent(id, .task, at: .now(), .finished(reply: Messages.reply(to: id), engine: "e0", outcome: .ok)))
  }

  private func requests(_ count: Int) -> [Envelope] {
    (0..<count).map { number in
      Messages.request(
        MessageID("0b533fd0-77fb4b90eb163ce3867deb06_11440_\(number)"), metadata: ["label": "\(number / 3)", "retries": 1])
    }
  }

  @Test("messages of one client take a fraction of their bytes, and each comes back as it was")
  func messages() {
    let sent = requests(1200)
    var entries: [JournalEntry] = []
    for (number, request) in sent.enumerated() {
      if let id = request.messageID { entries.append(.restated(RestatedTask(id: id, message: request))) }
      entries.append(finished(number))
    }
    var former = JournalCodec.Former()
    var bytes: [UInt8] = []
    for entry in entries { JournalCodec.append(entry, to: &bytes, after: &former) }
    var alone: [UInt8] = []
    for entry in entries { JournalCodec.append(entry, to: &alone) }
    #expect(bytes.count < alone.count / 2)
    func messages(_ bytes: [UInt8]) -> (requests: [[Frame]], replies: [[Frame]]) {
      var found: (requests: [[Frame]], replies: [[Frame]]) = ([], [])
      let unknown = bytes.withUnsafeBytes { bytes in
        JournalCodec.read(bytes) { record in
          switch record {
          case .restated(let task): found.requests.append(task.message.frames)
          case .finished(let result): found.replies.append(result.reply.frames)
          default: Issue.record("it was not written")
          }
        }
      }
      #expect(unknown == 0)
      return found
    }
    let found = messages(bytes)
    #expect(found.requests == sent.map(\.frames))
    let replies: [[Frame]] = entries.compactMap { entry in
      if case .event(let event) = entry, case .finished(let reply, _, _) = event.kind { reply.frames } else { nil }
    }
    #expect(found.replies == replies)
  }

  @Test("a difference from a message that is not there is left out, and what follows from it")
  func withoutFormer() {
    let sent = requests(4)
    var former = JournalCodec.Former()
    let records = sent.enumerated().map { number, request in
      var bytes: [UInt8] = []
      JournalCodec.append(.restated(RestatedTask(id: MessageID("t\(number)"), message: request)), to: &bytes, after: &former)
      return bytes
    }
    #expect(records[1...].allSatisfy { $0.count < records[0].count / 2 })
    let unknown = Array(records[1...].joined()).withUnsafeBytes { bytes in
      JournalCodec.read(bytes) { _ in Issue.record("it was read") }
    }
    #expect(unknown == 3)
  }
}
