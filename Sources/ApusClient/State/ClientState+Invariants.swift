import ApusMessaging

extension ClientState {
  /// For tests, after every step.
  /// - Returns: a sentence for each thing that is wrong.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    for (number, entry) in entries {
      if let share = entry.share, shares[share.original]?[share.engine] != number {
        wrong.append("share \(number.raw) is not in the table")
      }
      if case .lingering(let expected) = entry.phase {
        if let expected, entry.received >= expected { wrong.append("\(number.raw) lingers, and its output is complete") }
        if expected == nil, !entry.awaitsOutput { wrong.append("\(number.raw) lingers, and nobody awaits its output") }
        if !lingering.contains(where: { $0.task == number }) { wrong.append("\(number.raw) would linger for ever") }
      }
      let isUnsent = isUnsent(number, entry)
      func isHere(_ uuid: EngineUUID) -> Bool { engines[uuid] != nil || isUnsent && absent[uuid] != nil }
      switch entry.route {
      case .direct(let engine), .control(let engine):
        if entry.isOutstanding, !isHere(engine.uuid) { wrong.append("\(number.raw) waits for an engine that is gone") }
      case .coalescing(let targets):
        if entry.isOutstanding, targets.contains(where: { !isHere($0.uuid) }) {
          wrong.append("\(number.raw) waits for a lost engine")
        }
      case .broadcast:
        if let share = entry.share, entry.isOutstanding, !isHere(share.engine) {
          wrong.append("\(number.raw) waits for a lost engine")
        }
      case .hub, .balanced: break
      }
      if failure != nil { wrong.append("\(number.raw) is kept after the end") }
    }
    for (original, table) in shares {
      if table.isEmpty { wrong.append("broadcast \(original.raw) has no shares left") }
      for number in table.values where entries[number]?.share?.original != original {
        wrong.append("share \(number.raw) is nobody's")
      }
    }
    for number in deadlines.keys where entries[number]?.isOutstanding != true {
      wrong.append("deadline of \(number.raw), which is done")
    }
    for number in held.keys where entries[number]?.isOutstanding != true { wrong.append("\(number.raw) is held, and is done") }
    if !held.isEmpty, cutOff.isEmpty, resumption == nil { wrong.append("tasks are held, and nothing is in doubt") }
    for number in unsent.numbers where entries[number]?.isOutstanding != true && shares[number] == nil {
      wrong.append("\(number.raw) is unsent, and is done")
    }
    if !unsent.isEmpty, broken.channels.isEmpty, absent.isEmpty { wrong.append("requests are unsent, and no connection is broken") }
    if absent.isEmpty != (absenceDeadline == nil) {
      wrong.append("engines are waited for without an end, or the end is of nothing")
    }
    for uuid in absent.keys where engines[uuid] != nil { wrong.append("\(uuid) is waited for, and is there") }
    if failure != nil, doubt != nil { wrong.append("the hub is in doubt after the end") }
    for number in unwanted.keys where entries[number] == nil { wrong.append("\(number.raw) is not wanted, and is done") }
    if failure != nil, !engines.isEmpty { wrong.append("engines are known after the end") }
    return wrong
  }
}
