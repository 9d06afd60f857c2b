import ApusMessaging
import ArgumentParser

/// The relay of `raw`.
struct RawRelayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "raw-relay", abstract: "Relay frames until the process is ended.", shouldDisplay: false)

  @Option var profileDir: String
  @Option var engines: Int

  func run() throws {
    let relay = try RawRelay()
    try relay.writeFiles(to: "\(profileDir)/security")
    try relay.run(engines: engines)
  }
}
