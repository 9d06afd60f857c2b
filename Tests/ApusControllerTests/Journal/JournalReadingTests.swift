import ApusMessaging
import Foundation
import Synchronization
import TestSupport
import Testing
import Transport

@testable import ApusController

@Suite("Journal: large frames in common, and reading by parts", .timeLimit(.minutes(3 * patience)))
struct JournalReadingTests {
  private struct Effects: JournalEffects {
    mutating func syncLater(after delay: Duration) {}
    mutating func tellLater(after delay: Duration) {}
    mutating func retryLater(after delay: Duration) {}
    mutating func written(_ ticket: Int, replies: [EngineUUID: [MessageID]]) {}
    mutating func snapshotWanted() {}
    mutating func closeBacklog() {}
    mutating func suspended(_ reason: String) { Issue.record("suspended: \(reason)") }
  }

  private func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("apus-journal-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    _ = try JournalFiles.id(in: path)
    return try body(path)
  }

  private func task(_ number: Int, _ function: Frame) -> JournalEntry {
    let request = Messages.request(MessageID("t\(number)"), client: "one client")
    let message = Envelope(
      identities: Array(request.identities), signature: .empty, header: request.headerFrame, parentHeader: .emptyObject,
      metadata: .emptyObject, content: .emptyObject, buffers: [function, Frame("\(number)")])
    return .event(TaskEvent(MessageID("t\(number)"), .task, at: .now(), .submitted(request: message, engine: nil)))
  }

  private func function(_ byte: UInt8, _ count: Int = 100_000) -> Frame { Frame([UInt8](repeating: byte, count: count)) }

  /// Writes commits of so many tasks each, one after another.
  /// - Returns: the bytes of the segments.
  @discardableResult
  private func write(_ tasks: [JournalEntry], in directory: String, limits: JournalLimits = JournalLimits(), turns: Int = 1) -> Int
  {
    let files = JournalFiles(directory: directory, limit: 1 << 30)
    var effects = Effects()
    var state = JournalState(files, JournalConfiguration(), limits: limits)
    state.resume(effects: &effects)
    for start in stride(from: 0, to: tasks.count, by: turns) {
      let turns = tasks[start..<min(tasks.count, start + turns)].map { [$0] }
      state.commit(JournalBacklog.Taken(turns: turns, ticket: 1, hasOverflowed: false), effects: &effects)
    }
    return files.totalBytes
  }

  private func read(_ directory: String, partSize: Int = 4 << 20) -> (Restorer.Restored, damages: [String], parts: Int, torn: Int) {
    var restorer = Restorer()
    var parts = 0
    JournalReading(directory, partSize: partSize).read(JournalFiles.segments(in: directory).map(\.number)) { result in
      parts += 1
      switch result {
      case .success(let segment): restorer.read(segment)
      case .failure(let error): Issue.record(error)
      }
    }
    let restored = restorer.finish()
    return (restored, restorer.damages, parts, restorer.tornBytes)
  }

  private func numbers(_ restored: Restorer.Restored) -> [Int] { restored.tasks.compactMap { Int($0.id.text.dropFirst()) } }

  @Test("a block that leans on another one differs from nothing that is small there, and each message is whole")
  func leaning() throws {
    // One task in a block, and several.
    for turns in [1, 7] {
      try withDirectory { directory in
        let tasks = (0..<200).map { task($0, function(3)) }
        write(tasks, in: directory, turns: turns)
        let (restored, damages, _, _) = read(directory)
        let sent: [[Frame]] = tasks.compactMap { entry in
          if case .event(let event) = entry, case .submitted(let request, _) = event.kind { request.frames } else { nil }
        }
        #expect(damages.isEmpty && restored.tasks.map(\.message.frames) == sent)
      }
    }
  }

  @Test("a large function is written once for many commits, and again from time to time and in each segment")
  func once() throws {
    try withDirectory { directory in
      let bytes = write((0..<100).map { task($0, function(3)) }, in: directory)
      #expect(bytes < 2 * 100_000, "\(bytes)")
      let (restored, damages, _, _) = read(directory)
      #expect(damages.isEmpty && numbers(restored) == Array(0..<100))
      #expect(restored.tasks.allSatisfy { $0.message.frames[7].isIdentical(to: restored.tasks[0].message.frames[7]) })
      #expect(restored.tasks[0].message.frames[7] == function(3))
    }
    try withDirectory { directory in
      let limits = JournalLimits(segmentSize: 500_000, aloneDistance: 10_000)
      write((0..<2_000).map { task($0, function(3)) }, in: directory, limits: limits)
      let (restored, damages, _, _) = read(directory)
      #expect(damages.isEmpty && numbers(restored) == Array(0..<2_000))
      #expect(Set(restored.tasks.map { $0.message.frames[7] }) == [function(3)])
      #expect(JournalFiles.segments(in: directory).count > 1)
    }
  }

  @Test("small functions are in each block, which stands alone: damage takes nothing along")
  func small() throws {
    try withDirectory { directory in
      write((0..<20).map { task($0, function(3, 100)) }, in: directory)
      let path = JournalFiles.path(1, in: directory)
      var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      bytes[30] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let (restored, damages, _, _) = read(directory)
      #expect(damages.count == 1 && numbers(restored) == Array(1..<20))
    }
  }

  @Test("behind damage nothing is taken for what it had: tasks get their own function, or are left out until one stands alone")
  func damaged() throws {
    try withDirectory { directory in
      // The second function, of t5 to t9, is damaged where it was written.
      let tasks = (0..<20).map { task($0, function($0 < 5 ? 1 : $0 < 10 ? 2 : 3)) }
      write(tasks, in: directory)
      let path = JournalFiles.path(1, in: directory)
      var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      let place = try #require(bytes.firstRange(of: [UInt8](repeating: 2, count: 1_000))?.lowerBound)
      bytes[place + 500] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let (restored, damages, _, torn) = read(directory)
      #expect(numbers(restored) == Array(0..<5) + Array(10..<20))
      #expect(restored.tasks.prefix(5).allSatisfy { $0.message.frames[7] == function(1) })
      #expect(restored.tasks.dropFirst(5).allSatisfy { $0.message.frames[7] == function(3) })
      #expect(damages.count == 2 && torn == 0 && !restored.isWhole, "the block, and what leans on it: \(damages)")
    }
  }

  @Test("parts of a segment are what the whole is, wherever it is divided; and what is damaged in the middle is no tail")
  func parts() throws {
    try withDirectory { directory in
      let limits = JournalLimits(segmentSize: 1 << 20, aloneDistance: 10_000)
      let tasks = (0..<300).map { task($0, function(UInt8($0 / 50), $0 % 100 < 50 ? 200 : 5_000)) }
      write(tasks, in: directory, limits: limits)
      let whole = read(directory)
      #expect(numbers(whole.0) == Array(0..<300) && whole.damages.isEmpty)
      for size in [1, 1_000, 20_000] {
        let divided = read(directory, partSize: size)
        #expect(divided.parts > whole.parts && divided.damages.isEmpty)
        #expect(divided.0.tasks.map(\.message.frames) == whole.0.tasks.map(\.message.frames))
        #expect(divided.0.bytes.all == whole.0.bytes.all && divided.0.bytes.tasks == whole.0.bytes.tasks)
      }
      let path = JournalFiles.path(1, in: directory)
      let good = [UInt8](try Data(contentsOf: URL(filePath: path)))
      for (place, isCut) in [(good.count / 2, false), (good.count - 40, false), (good.count - 40, true)] {
        var bytes = good
        bytes[place] ^= 1
        if isCut { bytes = Array(bytes[..<place]) }
        try Data(bytes).write(to: URL(filePath: path))
        let whole = read(directory)
        let divided = read(directory, partSize: 1)
        #expect(numbers(divided.0) == numbers(whole.0) && numbers(whole.0).count < 300)
        #expect(divided.damages == whole.damages && divided.torn == whole.torn)
      }
    }
  }

  @Test(
    "a page that the disk does not give costs the blocks that are in it, and nothing before or behind them",
    arguments: [100, 30_000], [false, true])
  func brokenPage(frame: Int, givesWhatIsBefore: Bool) throws {
    try withDirectory { directory in
      write((0..<60).map { task($0, function(UInt8($0), frame)) }, in: directory, limits: JournalLimits(aloneDistance: 0))
      let path = JournalFiles.path(1, in: directory)
      let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
      // In the middle of the function of a task.
      let place = try #require(bytes.firstRange(of: [UInt8](repeating: 20, count: 100))?.lowerBound) + (frame > 4096 ? 8192 : 0)
      let broken = Self.broken(place & ~4095, givesWhatIsBefore: givesWhatIsBefore)
      for partSize in [1, 4 << 20] {
        var restorer = Restorer()
        JournalReading(directory, partSize: partSize, reading: broken).read([1]) { result in
          switch result {
          case .success(let segment): restorer.read(segment)
          case .failure(let error): restorer.leaveOut(error)
          }
        }
        let restored = restorer.finish()
        #expect(!restored.isWhole && restored.damaged == [path])
        #expect(restorer.damages.allSatisfy { $0.contains(path) } && restorer.tornBytes == 0, "\(restorer.damages)")
        #expect(restorer.damages.filter { $0.contains("cannot be read is left out") }.count == 1)
        let found = numbers(restored)
        let missing = (0..<60).filter { !found.contains($0) }
        #expect(found == found.sorted() && missing.contains(20))
        // Small ones are some hundred bytes; of large ones a few lean on each other.
        #expect(missing.allSatisfy { abs($0 - 20) <= (frame > 4096 ? 3 : 20) }, "\(missing)")
      }
    }
  }

  /// A disk on which nothing can be read of a page.
  /// - Parameter givesWhatIsBefore: as Linux does; else a request that goes over it fails.
  private static func broken(_ page: Int, givesWhatIsBefore: Bool) -> SegmentFile.Reading {
    return { descriptor, buffer, count, offset in
      let count = givesWhatIsBefore && offset < page ? min(count, page - offset) : count
      if offset < page + 4096, offset + count > page {
        errno = EIO
        return -1
      }
      return pread(descriptor, buffer, count, offset)
    }
  }

  @Test("a header is read though the page behind it cannot be")
  func headerBeforeABrokenPage() throws {
    try withDirectory { directory in
      write((0..<60).map { task($0, function(UInt8($0), 30_000)) }, in: directory, limits: JournalLimits(aloneDistance: 0))
      let whole = try SegmentFile(1, in: directory).partition(partSize: 1)
      #expect(whole.count > 10)
      // All of it is there.
      let header = try #require(whole.dropFirst(5).first { $0.lowerBound % 4096 < 4000 }).lowerBound
      let file = try SegmentFile(1, in: directory, reading: Self.broken(header & ~4095 + 4096, givesWhatIsBefore: true))
      #expect(file.partition(partSize: 1) == whole)
    }
  }

  @Test("a disk that gives nothing is not asked for each page")
  func brokenDisk() throws {
    try withDirectory { directory in
      write((0..<60).map { task($0, function(UInt8($0), 30_000)) }, in: directory)
      let requests = Mutex(0)
      let file = try SegmentFile(1, in: directory) { _, _, _, _ in
        requests.withLock { $0 += 1 }
        errno = EIO
        return -1
      }
      var bytes = [UInt8](repeating: 1, count: file.size)
      let failure = bytes.withUnsafeMutableBytes { file.read(into: $0, at: 0) }
      #expect(failure != nil && bytes.allSatisfy { $0 == 0 })
      #expect(requests.withLock { $0 } < 16 && file.size > 60 * 30_000)
    }
  }

  @Test("parts that are begun are bounded in number and in bytes, and one is always begun")
  func begun() throws {
    var begun = JournalReading.Begun(width: 3, mostBytes: 100)
    #expect(begun.hasRoom(for: 1000))
    (begun.count, begun.bytes) = (1, 60)
    #expect(begun.hasRoom(for: 40) && !begun.hasRoom(for: 41))
    (begun.count, begun.bytes) = (3, 60)
    #expect(!begun.hasRoom(for: 1))
    try withDirectory { directory in
      write((0..<60).map { task($0, function(UInt8($0), 30_000)) }, in: directory, limits: JournalLimits(aloneDistance: 0))
      // One after the other.
      var found: [Int] = []
      JournalReading(directory, partSize: 1, bounds: JournalReading.Begun(mostBytes: 1)).read([1]) { result in
        if case .success(let segment) = result { found.append(segment.taskCount) }
      }
      #expect(found.reduce(0, +) == 60 && found.count > 10)
    }
  }

  @Test("a file that becomes shorter while it is read is missed from there on")
  func cutOff() throws {
    try withDirectory { directory in
      write((0..<60).map { task($0, function(UInt8($0), 30_000)) }, in: directory, limits: JournalLimits(aloneDistance: 0))
      let path = JournalFiles.path(1, in: directory)
      var (restorer, isCut) = (Restorer(), false)
      JournalReading(directory, partSize: 1).read([1]) { result in
        if !isCut { #expect(truncate(path, 40_000) == 0) }
        isCut = true
        switch result {
        case .success(let segment): restorer.read(segment)
        case .failure(let error): restorer.leaveOut(error)
        }
      }
      let restored = restorer.finish()
      #expect(restored.damaged == [path] && restorer.damages.contains { $0.contains("cannot be read") }, "\(restorer.damages)")
      #expect(numbers(restored).first == 0 && numbers(restored).count < 60)
    }
  }
}
