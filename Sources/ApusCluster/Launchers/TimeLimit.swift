/// How long jobs may run, as `--time` takes it, and in the forms that batch systems want.
struct TimeLimit: Sendable, Hashable {
  let seconds: Int

  /// `90s`, `30m`, `2h`, `1d`; `1:30:00`, `2-12:00:00`, `10:00` (minutes and seconds); a number alone is minutes, as Slurm has it.
  init?(_ text: String) {
    if let plain = Int(text) {
      guard (1...527_040).contains(plain) else { return nil }
      seconds = plain * 60
      return
    }
    if text.last.map({ "smhd".contains($0) }) == true {
      guard let value = DurationText.seconds(text), value >= 1, value < 31_622_400 else { return nil }
      seconds = Int(value)
      return
    }
    let dash = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    guard (1...2).contains(dash.count), let clock = dash.last else { return nil }
    let fields = clock.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
    guard fields.allSatisfy({ $0.map { (0..<100_000).contains($0) } ?? false }) else { return nil }
    let numbers = fields.compactMap { $0 }
    var total: Int
    switch (dash.count, numbers.count) {
    case (1, 2): total = numbers[0] * 60 + numbers[1]
    case (1, 3): total = (numbers[0] * 60 + numbers[1]) * 60 + numbers[2]
    case (2, 1...3):
      guard let days = Int(dash[0]), (0..<1000).contains(days) else { return nil }
      let padded = numbers + [0, 0]
      total = days * 86_400 + (padded[0] * 60 + padded[1]) * 60 + padded[2]
    default: return nil
    }
    guard total > 0 else { return nil }
    seconds = total
  }

  /// `26:03:09`.
  var clock: String { "\(Self.two(seconds / 3600)):\(Self.two(seconds / 60 % 60)):\(Self.two(seconds % 60))" }

  /// As LSF has it: hours and minutes, rounded up.
  var hoursAndMinutes: String {
    let minutes = (seconds + 59) / 60
    return "\(minutes / 60):\(Self.two(minutes % 60))"
  }

  func text(for system: any BatchSystem.Type) -> String {
    switch system.name {
    case LSF.name: hoursAndMinutes
    case HTCondor.name: String(seconds)
    default: clock
    }
  }

  private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
}
