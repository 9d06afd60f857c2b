import ApusMessaging
import ApusValues
import Synchronization
import Transport

/// The values that clients have pushed to an engine, by name. Tasks read them through `TaskContext`.
public final class Namespace: Sendable {
  private struct Entry: Sendable {
    var frames: [Frame]
    /// The value as it was read last.
    var value: (any Sendable)?
    /// No other binding, of whatever name, has had it.
    let version: Int
  }
  private struct Contents: Sendable {
    var entries: [String: Entry] = [:]
    var lastVersion = 0

    mutating func bind(_ name: String, _ frames: [Frame], _ value: (any Sendable)? = nil) {
      lastVersion += 1
      entries[name] = Entry(frames: frames, value: value, version: lastVersion)
    }
  }
  private let contents = Mutex(Contents())

  init() {}

  /// Names of everything that was pushed, sorted.
  public var names: [String] { contents.withLock { $0.entries.keys.sorted() } }

  /// The value of this name. It is decoded by the first task that asks for it.
  /// - Throws: `TaskError` `unknownName`, or `badValue` if it is of another type.
  public func value<Value: Codable & Sendable>(_ name: String, as type: Value.Type = Value.self) throws(TaskError) -> Value {
    let entry = try entry(name)
    if let value = entry.value as? Value { return value }
    let value: Value
    do { value = try MessagePackDecoder().decode(type, from: entry.frames) } catch {
      throw TaskError(.badValue, "“\(name)” is no \(type): \(error)")
    }
    // Somebody may have bound the name to something else while this was decoded.
    contents.withLock { if $0.entries[name]?.version == entry.version { $0.entries[name]?.value = value } }
    return value
  }

  /// Binds a value: what a task leaves for later ones, or for a client to pull.
  public func set<Value: Codable & Sendable>(_ name: String, to value: Value) throws(TaskError) {
    do {
      let frames = try MessagePackEncoder().encode(value, outOfBand: MessagePackCodec.outOfBand)
      contents.withLock { $0.bind(name, frames, value) }
    } catch { throw TaskError(.badValue, "“\(name)”, a \(Value.self), cannot be written: \(error)") }
  }

  public func remove(_ name: String) { contents.withLock { $0.entries[name] = nil } }
  func clear() { contents.withLock { $0.entries = [:] } }

  func frames(_ name: String) throws(TaskError) -> [Frame] { try entry(name).frames }
  func bind(_ name: String, to frames: [Frame]) { contents.withLock { $0.bind(name, frames) } }

  private func entry(_ name: String) throws(TaskError) -> Entry {
    guard let entry = contents.withLock({ $0.entries[name] }) else {
      throw TaskError(.unknownName, "nothing of the name “\(name)” was pushed to this engine", advice: "Push it first.")
    }
    return entry
  }
}
