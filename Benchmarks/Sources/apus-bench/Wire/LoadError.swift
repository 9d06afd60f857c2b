/// Why a measurement could not be made; what it says goes to the terminal.
struct LoadError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
