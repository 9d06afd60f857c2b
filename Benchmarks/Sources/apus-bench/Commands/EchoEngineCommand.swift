import ArgumentParser

/// The engines' side of the other commands.
struct EchoEngineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "echo-engine", abstract: "Play engines until standard input ends.", shouldDisplay: false)

  @Option var engineFile: String
  @Option var count = 1
  @Flag var status = false
  @Flag var bare = false

  func run() throws {
    Machine.raiseDescriptorLimit()
    let connection = try EchoEngineConnection(RunningController.read(engineFile), isBare: bare)
    var crowd = try EngineCrowd(count, connection, publishesStatus: status)
    try crowd.play()
  }
}
