import Glibc
import Transport

/// What `ConnectionSource` reads of the world: variables and files.
public struct ClientEnvironment: Sendable {
  private let variables: [String: String]?

  /// These variables, and no others.
  public init(_ variables: [String: String]) { self.variables = variables }
  private init() { variables = nil }

  /// The variables of this process.
  public static let process = ClientEnvironment()

  /// A variable's value; an empty one counts as absent.
  public subscript(name: String) -> String? {
    let value = variables.map { $0[name] } ?? getenv(name).map { String(cString: $0) }
    return value?.isEmpty == true ? nil : value
  }

  var ipythonDirectory: String { self["IPYTHONDIR"].map { expanded($0) } ?? "\(self["HOME"] ?? "")/.ipython" }

  /// With `~` replaced.
  func expanded(_ path: String) -> String {
    guard path == "~" || path.hasPrefix("~/"), let home = self["HOME"] else { return path }
    return home + path.dropFirst()
  }

  func entries(_ directory: String) -> [String] { DirectoryListing.names(in: directory) }
}
