import ApusMessaging

/// A file of hosts, one a line, in the forms that people have already: `host`, `host 4`, `host:4` is a port, `host slots=4` (Open MPI),
/// `host 4 script=PATH` names a script on that host whose environment engines run in, and what follows `#` is a comment.
struct HostsFile: Sendable, Hashable {
  let path: String
  let hosts: [SSHHost]

  /// - Throws: with `.missingFile`, or naming the line that is not understood.
  init(reading path: String) throws(ClusterError) {
    let text: String
    do throws(FileError) { text = try FileSystem.text(of: path) } catch {
      throw ClusterError(.missingFile, "the file of --hosts could not be read: \(error)")
    }
    try self.init(text, path: path)
  }

  init(_ text: String, path: String) throws(ClusterError) {
    self.path = path
    var hosts: [SSHHost] = []
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      var words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace).map(String.init)
      guard let first = words.first else { continue }
      var host = SSHHost(first)
      if let place = words.firstIndex(where: { $0.hasPrefix("script=") }) {
        host?.environmentScript = String(words.remove(at: place).dropFirst("script=".count))
      }
      if words.count == 2 {
        let number = words[1].hasPrefix("slots=") ? String(words[1].dropFirst("slots=".count)) : words[1]
        if let count = Int(number), (0...100_000).contains(count) { host?.count = count } else { host = nil }
      }
      guard let host, words.count <= 2 else {
        throw ClusterError(
          .failure, "\(path):\(index + 1): '\(line)' is no host",
          advice: "A line is a host, or a host and its number of engines: host1 4.")
      }
      hosts.append(host)
    }
    guard !hosts.isEmpty else { throw ClusterError(.failure, "there is no host in \(path), which --hosts names") }
    self.hosts = hosts
  }
}
