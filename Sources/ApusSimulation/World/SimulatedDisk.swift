import Glibc
@testable import ApusController
import ApusMessaging

/// A disk for a journal. What was written survives the process; what was synced survives the machine; the rest may be torn at any byte.
final class SimulatedDisk: JournalStorage {
  struct Segment {
    var bytes: [UInt8] = []
    var synced = 0
    /// Its name is on the disk.
    var isNamed = false
  }

  private let world: World
  let directory = "journal"
  private(set) var segments: [Int: Segment] = [:]
  private(set) var number = 0
  private var isOpen = false
  private var former = 0
  /// As the controller that has read it found.
  var isFormerDamaged = false
  private(set) var most = 0
  /// While it is full nothing can be written.
  var isFull = false
  /// Mutations.
  var forgetsToSync = false
  var keepsEverything = false
  /// The journal's name, there until an end in order.
  private(set) var id: String?

  init(_ world: World) { self.world = world }

  // MARK: lives

  /// A controller begins: it goes on behind what is there.
  func open() {
    number = segments.keys.max() ?? 0
    former = number
    isOpen = false
    if id == nil { id = "journal-\(world.now)" }
  }

  /// The machine loses its power.
  func losePower() {
    for (number, segment) in segments.sorted(by: { $0.key < $1.key }) {
      // Names are written in order, sooner or later.
      if !segment.isNamed, world.chance(30) {
        segments[number] = nil
        continue
      }
      let kept = segment.synced + (segment.bytes.count > segment.synced ? world.pick(0...segment.bytes.count - segment.synced) : 0)
      var bytes = Array(segment.bytes[..<kept])
      // A sector that was not written is zeros, or what was there before.
      if kept > segment.synced, world.chance(30) { bytes[world.pick(segment.synced...kept - 1)] ^= 0x55 }
      segments[number] = Segment(bytes: bytes, synced: kept, isNamed: true)
    }
  }

  /// - Parameter synced: only what would be there if the power failed now, and nothing more had come to the disk by itself.
  func read(into restorer: inout Restorer, synced: Bool = false) {
    for (number, segment) in segments.sorted(by: { $0.key < $1.key }) where !synced || segment.isNamed {
      segment.bytes.withUnsafeBytes { bytes in
        let bytes = synced ? UnsafeRawBufferPointer(rebasing: bytes.prefix(segment.synced)) : bytes
        restorer.read(segment: bytes, name: "segment \(number)")
      }
    }
  }

  // MARK: JournalStorage

  var bytes: Int { isOpen ? segments[number]?.bytes.count ?? 0 : 0 }
  private var total: Int { segments.values.reduce(0) { $0 + $1.bytes.count } }

  private func checkRoom() throws(FileError) {
    if isFull { throw FileError(path: directory, action: "write", code: ENOSPC) }
  }

  func beginSegment(isSynced: Bool) throws(FileError) {
    try checkRoom()
    if isSynced, isOpen { try sync() }
    number += 1
    isOpen = true
    segments[number] = Segment()
  }

  func append(_ block: [UInt8]) throws(FileError) {
    if isFull {
      // A part of it is there.
      segments[number]?.bytes.append(contentsOf: block.prefix(world.pick(0...block.count)))
      try checkRoom()
    }
    segments[number]?.bytes.append(contentsOf: block)
    most = max(most, total)
  }

  func sync() throws(FileError) {
    try checkRoom()
    guard isOpen, !forgetsToSync else { return }
    let count = bytes
    segments[number]?.synced = count
    segments[number]?.isNamed = true
  }

  func syncFormer() throws(FileError) {
    try checkRoom()
    guard !forgetsToSync else { return }
    for number in segments.keys where number <= former {
      let count = segments[number]?.bytes.count ?? 0
      segments[number]?.synced = count
      segments[number]?.isNamed = true
    }
  }

  func replaceFormer() {
    isFormerDamaged = false
    if !keepsEverything { for number in segments.keys where number <= former { segments[number] = nil } }
  }

  func removeClosed(while isObsolete: (_ number: Int, _ bytesLeft: Int) -> Bool) {
    while let first = segments.keys.min(), first < number || !isOpen {
      let left = total - bytes - (segments[first]?.bytes.count ?? 0)
      guard isObsolete(first, left), !keepsEverything else { return }
      segments[first] = nil
    }
  }

  func removeWritten() {
    isOpen = false
    for number in segments.keys where number > former { segments[number] = nil }
  }

  func removeAll() {
    isOpen = false
    if !keepsEverything { segments = [:] }
  }

  func removeDirectory() {
    removeAll()
    id = nil
  }
}
