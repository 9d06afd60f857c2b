/// As much of Swift's mangling (docs/ABI/Mangling.rst of the compiler) as tells a type from a function behind the name of the type around it.
struct MangledName {
  private var rest: ArraySlice<UInt8>

  /// - Parameter text: what follows the name of a type.
  init(_ text: some Sequence<UInt8>) { rest = Array(text)[...] }

  /// Whether a nested type comes next, and not a function: an identifier with the letter of a kind of type behind it.
  var beginsWithType: Bool {
    var name = self
    // Of an extension: the module that declares it, and E.
    if name.rest.starts(with: "AAE".utf8) { name.rest.removeFirst(3) }
    while name.skipIdentifier() {
      if name.rest.first == UInt8(ascii: "E") {
        name.rest.removeFirst()
        continue
      }
      // What is private has a second identifier, for the file; a function's labels have none of the letters behind them.
      var discriminated = name
      guard discriminated.skipIdentifier() else { return name.isKindOfType }
      guard discriminated.rest.starts(with: "LL".utf8) else { return false }
      discriminated.rest.removeFirst(2)
      return discriminated.isKindOfType
    }
    // Nothing that is understood: a function's name begins with an identifier, or with O and a letter for an operator's.
    return name.rest.isEmpty
  }

  private var isKindOfType: Bool { rest.first.map { "CVOPa".utf8.contains($0) } ?? false }

  /// - Returns: false if there is none.
  private mutating func skipIdentifier() -> Bool {
    guard let first = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    guard first == UInt8(ascii: "0") else { return skipText(number()) }
    // With words of earlier names in it: letters, of which a capital is the last, then text if its length is not 0.
    rest.removeFirst()
    while let next = rest.first {
      if (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(next) {
        rest.removeFirst()
      } else if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(next) {
        rest.removeFirst()
        return skipText(number())
      } else {
        // Text between words.
        let length = number()
        guard length > 0, skipText(length) else { return false }
      }
    }
    return true
  }

  private mutating func number() -> Int {
    var value = 0
    while let digit = rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit), value < 1 << 20 {
      value = value * 10 + Int(digit - UInt8(ascii: "0"))
      rest.removeFirst()
    }
    return value
  }

  private mutating func skipText(_ length: Int) -> Bool {
    guard length <= rest.count else { return false }
    rest.removeFirst(length)
    return true
  }
}
