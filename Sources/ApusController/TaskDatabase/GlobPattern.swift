/// A shell pattern as Python's `fnmatch` reads it, case-sensitively: `*`, `?`, `[abc]`, `[a-z]`, `[!abc]`. Nothing escapes: `[*]` is a star.
///
/// Characters are Unicode scalars, as in Python and in SQLite's `GLOB`.
struct GlobPattern: Hashable, Sendable {
  private enum Part: Hashable, Sendable {
    case anything
    case one
    case scalar(Unicode.Scalar)
    case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)

    func matches(_ scalar: Unicode.Scalar) -> Bool {
      switch self {
      case .anything: false
      case .one: true
      case .scalar(let wanted): wanted == scalar
      case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
      }
    }
  }

  private var parts: [Part] = []
  /// Whether there is a set in it: what `GLOB` writes differently.
  private(set) var hasSets = false

  init(_ pattern: String) {
    let scalars = Array(pattern.unicodeScalars)
    var index = 0
    while index < scalars.count {
      let scalar = scalars[index]
      index += 1
      switch scalar {
      case "*": if parts.last != .anything { parts.append(.anything) }
      case "?": parts.append(.one)
      case "[":
        guard let (set, end) = Self.set(scalars, from: index) else {
          parts.append(.scalar("["))
          hasSets = true
          continue
        }
        parts.append(set)
        hasSets = true
        index = end
      default: parts.append(.scalar(scalar))
      }
    }
  }

  /// Reads a set after its opening bracket. - Returns: it and where it ends, or `nil` without a closing bracket.
  private static func set(_ scalars: [Unicode.Scalar], from start: Int) -> (Part, Int)? {
    var index = start
    let isNegated = index < scalars.count && scalars[index] == "!"
    if isNegated { index += 1 }
    let first = index
    // A bracket in the first place is one of the set.
    guard let end = scalars[first...].indices.first(where: { scalars[$0] == "]" && $0 > first }) else { return nil }
    var ranges: [ClosedRange<Unicode.Scalar>] = []
    while index < end {
      if index + 2 < end, scalars[index + 1] == "-" {
        // A range the wrong way round holds nothing.
        if scalars[index] <= scalars[index + 2] { ranges.append(scalars[index]...scalars[index + 2]) }
        index += 3
      } else {
        ranges.append(scalars[index]...scalars[index])
        index += 1
      }
    }
    return (.set(ranges, isNegated: isNegated), end + 1)
  }

  /// In time of at most pattern times text: on failure only the last star gives back.
  func matches(_ text: String) -> Bool {
    let scalars = text.unicodeScalars
    var position = scalars.startIndex
    var part = 0
    var retry: (part: Int, position: String.UnicodeScalarView.Index)?
    while position < scalars.endIndex {
      if part < parts.count, parts[part] == .anything {
        part += 1
        retry = (part, position)
      } else if part < parts.count, parts[part].matches(scalars[position]) {
        part += 1
        scalars.formIndex(after: &position)
      } else if let last = retry {
        let next = scalars.index(after: last.position)
        retry = (last.part, next)
        part = last.part
        position = next
      } else {
        return false
      }
    }
    return parts[part...].allSatisfy { $0 == .anything }
  }
}
