extension MessagePackReader {
  /// Passes over `values` values, without recursion: how deep they are does not matter.
  func skip(_ position: inout Int, values: Int = 1) throws(MessagePackError) {
    var left = values
    var place = position
    while left > 0 {
      left -= 1
      let header = try header(place)
      let width = MessagePackFormat.lengthWidth(of: header)
      let body: Int
      if width == 0 {
        guard let fixed = MessagePackFormat.fixedBody(of: header) else { throw mismatch(place, expected: "a value") }
        body = fixed
        left += MessagePackFormat.fixedElements(of: header)
      } else {
        let length: Int
        switch width {
        case 1: length = Int(try big(place + 1, UInt8.self))
        case 2: length = Int(try big(place + 1, UInt16.self))
        default: length = Int(try big(place + 1, UInt32.self))
        }
        switch header {
        case 0xDC, 0xDD: (body, left) = (width, left + length)
        case 0xDE, 0xDF: (body, left) = (width, left + 2 * length)
        case 0xC7, 0xC8, 0xC9: body = width + 1 + length
        default: body = width + length
        }
      }
      place += 1 + body
      // Every value that is left has at least one byte.
      guard left <= bytes.count - place else { throw truncated(min(place, bytes.count)) }
    }
    position = place
  }
}
