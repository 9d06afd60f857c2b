/// Numbers as batch systems list them: `3`, `0-2,5`, `4-20:2`.
enum IndexList {
  /// - Parameter range: what can be meant. Whatever a list says besides is left out, however much that is.
  static func numbers(_ list: some StringProtocol, within range: Range<Int>) -> [Int] {
    list.split(separator: ",").flatMap { part -> [Int] in
      let fields = part.split(separator: ":", maxSplits: 1)
      let step = fields.count > 1 ? Int(fields[1]) ?? 1 : 1
      let ends = (fields.first ?? "").split(separator: "-", maxSplits: 1).map { Int($0) }
      guard step > 0, let first = ends.first ?? nil, let end = ends.last ?? nil, first >= 0, first <= end else { return [] }
      let last = min(end, range.upperBound - 1)
      // Only those that can be meant are counted through.
      let skipped = max(0, range.lowerBound - first)
      let rest = skipped % step
      let (begin, isTooLarge) = max(first, range.lowerBound).addingReportingOverflow(rest == 0 ? 0 : step - rest)
      guard !isTooLarge, begin <= last else { return [] }
      return Array(stride(from: begin, through: last, by: min(step, last - begin + 1)))
    }
  }
}
