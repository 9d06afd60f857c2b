import ApusMessaging
import Glibc

/// What `apus status` says of a controller's journal on this host.
public struct JournalReport: Sendable, Hashable {
  public var directory: String
  /// Of its files together.
  public var bytes: Int

  public init(directory: String, bytes: Int) {
    self.directory = directory
    self.bytes = bytes
  }

  /// - Parameter connectionFile: the clients' one, in `security/` of the profile.
  /// - Returns: `nil` where the controller has none, or its profile is elsewhere.
  public init?(besideConnectionFile path: String) {
    let name = Path.name(path)
    guard name.hasPrefix("ipcontroller-"), name.hasSuffix("client.json") else { return nil }
    let id = name.dropFirst("ipcontroller-".count).dropLast("client.json".count).dropLast()
    let profile = ProfileDirectory(Path.parent(Path.parent(path)))
    let directory = profile.journal(clusterID: String(id))
    guard FileSystem.isDirectory(directory) else { return nil }
    self.init(directory: directory)
  }

  init(directory: String) {
    var bytes = 0
    for name in FileSystem.entries(of: directory) {
      var status = stat()
      if stat(Path.join(directory, name), &status) == 0 { bytes += Int(status.st_size) }
    }
    self.init(directory: directory, bytes: bytes)
  }

  var sentence: String {
    let megabytes = Double(bytes) / 1e6
    return "\(megabytes < 10 ? DurationText.fixed(megabytes, 1) : DurationText.fixed(megabytes, 0)) MB in \(directory)"
  }

  var json: JSONValue { ["directory": .string(directory), "bytes": .int(bytes)] }
}
