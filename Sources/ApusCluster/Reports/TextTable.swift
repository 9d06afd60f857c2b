/// A table for people: columns as wide as what is in them.
public struct TextTable: Sendable {
  public struct Column: Sendable {
    let title: String
    let isNumeric: Bool

    /// - Parameter isNumeric: numbers stand at the right end of their column.
    public init(_ title: String, isNumeric: Bool = false) {
      self.title = title
      self.isNumeric = isNumeric
    }
  }

  public struct Cell: Sendable, ExpressibleByStringInterpolation {
    let text: String
    let style: TerminalStyle?

    public init(_ text: String, _ style: TerminalStyle? = nil) {
      self.text = TerminalStyle.printable(text)
      self.style = style
    }
    public init(stringLiteral value: String) { self.init(value) }
  }

  private let columns: [Column]
  public private(set) var rows: [[Cell]] = []

  public init(_ columns: [Column]) { self.columns = columns }

  public mutating func append(_ row: [Cell]) { rows.append(row) }

  /// - Parameter isStyled: whether it goes to a terminal.
  public func text(isStyled: Bool) -> String {
    let head = columns.map { Cell($0.title, .bold) }
    var widths = columns.map { $0.title.count }
    for row in rows {
      for (index, cell) in row.enumerated() where index < widths.count { widths[index] = max(widths[index], cell.text.count) }
    }
    return ([head] + rows).map { line($0, widths, isStyled) + "\n" }.joined()
  }

  private func line(_ row: [Cell], _ widths: [Int], _ isStyled: Bool) -> String {
    var line = ""
    for (index, (cell, column)) in zip(row, columns).enumerated() {
      if index > 0 { line += "  " }
      let space = String(repeating: " ", count: widths[index] - cell.text.count)
      let text = isStyled && !cell.text.isEmpty ? cell.style?.applied(to: cell.text) ?? cell.text : cell.text
      line += column.isNumeric ? space + text : text + space
    }
    while line.last == " " { line.removeLast() }
    return line
  }
}
