@testable import ApusController
import ApusMessaging
import Glibc
import HeapModule

/// Virtual time and everything that is going to happen in it. One seed makes one history.
///
/// Times are microseconds since the beginning. Nothing here knows what is simulated.
final class World {
  private struct Event: Comparable {
    let time: Int
    let order: Int
    let action: () -> Void
    static func < (a: Event, b: Event) -> Bool { (a.time, a.order) < (b.time, b.order) }
    static func == (a: Event, b: Event) -> Bool { a.order == b.order }
  }

  var random: SeededGenerator
  private(set) var now = 0
  private var agenda = Heap<Event>()
  private var lastOrder = 0
  private(set) var steps = 0
  private var stepsAtOnce = 0
  private(set) var trace: Trace
  /// The first thing that is wrong; nothing happens after it.
  private(set) var fault: String?
  /// The states' clock, of which only differences matter.
  private let origin = ContinuousClock.Instant.now

  /// - Parameter kept: so many of the last things that happened can be told.
  init(seed: UInt64, kept: Int = 80) {
    random = SeededGenerator(seed: seed)
    trace = Trace(kept: kept)
  }

  var instant: ContinuousClock.Instant { origin + .microseconds(now) }
  /// Of no particular day, the same in each run.
  var timestamp: Timestamp { Timestamp(microseconds: 1_800_000_000_000_000 + now) }

  func after(_ delay: Int, _ action: @escaping () -> Void) {
    lastOrder += 1
    agenda.insert(Event(time: now + max(0, delay), order: lastOrder, action: action))
  }

  func at(_ instant: ContinuousClock.Instant, _ action: @escaping () -> Void) {
    // Not before it: whoever looks then is to find it passed.
    let delay = instant - self.instant
    after(delay.microseconds + (.microseconds(delay.microseconds) < delay ? 1 : 0), action)
  }

  /// - Returns: false when nothing is left, or something is wrong.
  func step(until end: Int) -> Bool {
    guard fault == nil, let next = agenda.min, next.time <= end else { return false }
    stepsAtOnce = next.time == now ? stepsAtOnce + 1 : 0
    if stepsAtOnce > 200_000 {
      fail("time stands still")
      return false
    }
    agenda.removeMin()
    now = next.time
    steps += 1
    next.action()
    return true
  }

  /// What would still happen does not, and lets go of those to whom it would.
  func end() { agenda = Heap() }

  func note(_ text: @autoclosure () -> String) { trace.append(now, text()) }

  /// Something is not as it must be.
  func fail(_ sentence: @autoclosure () -> String) {
    guard fault == nil else { return }
    let text = sentence()
    note("WRONG: \(text)")
    fault = text
  }

  // MARK: dice

  func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &random) < percent }
  func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
  func pick<T>(_ list: [T]) -> T? { list.randomElement(using: &random) }
  /// Between the two, small ones as probable as large ones.
  func logarithmic(_ range: ClosedRange<Double>) -> Double {
    range.lowerBound * pow(range.upperBound / range.lowerBound, Double.random(in: 0...1, using: &random))
  }
}

/// The last things that happened, and a digest of all of them.
struct Trace {
  private var lines: [String] = []
  private var next = 0
  private(set) var digest: UInt64 = 0xcbf2_9ce4_8422_2325
  private(set) var count = 0
  private let kept: Int

  init(kept: Int) { self.kept = max(1, kept) }

  mutating func append(_ time: Int, _ text: String) {
    let line = "\(time) \(text)"
    // FNV-1a.
    for byte in line.utf8 { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01b3 }
    count += 1
    if lines.count < kept {
      lines.append(line)
    } else {
      lines[next] = line
      next = (next + 1) % kept
    }
  }

  func last(_ count: Int) -> [String] { Array((lines[next...] + lines[..<next]).suffix(count)) }
}

extension Duration {
  var microseconds: Int {
    let (seconds, attoseconds) = components
    return Int(seconds) * 1_000_000 + Int(attoseconds / 1_000_000_000_000)
  }
}
