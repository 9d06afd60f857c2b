/// Says that messages are dropped, but not so often that an attacker fills the disk: one line a reason and interval, with a count.
struct RejectionLog {
  private var last: [String: ContinuousClock.Instant] = [:]
  private var suppressed: [String: Int] = [:]
  let interval: Duration

  init(interval: Duration = .seconds(10)) { self.interval = interval }

  /// - Returns: the line to write, or `nil` while the last one of its kind is too fresh.
  mutating func line(for reason: String, socket: String, now: ContinuousClock.Instant) -> String? {
    let key = "\(socket): \(reason)"
    if let before = last[key], before.duration(to: now) < interval {
      suppressed[key, default: 0] += 1
      return nil
    }
    last[key] = now
    let more = suppressed.removeValue(forKey: key) ?? 0
    return "Dropped a message on the \(socket) socket: \(reason)" + (more > 0 ? " (and \(more) more since the last line)" : "")
  }
}
