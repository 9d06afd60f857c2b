import ApusProcess
import ApusCluster
import ApusMessaging
import Glibc
import Logging

/// What every command starts from: its options and files read, its profile found, its log open.
struct CommandContext {
  let command: CommandSpecification
  let arguments: CommandLineArguments
  let configuration: Configuration
  let selection: ProfileSelection
  let environment: Environment
  let logLevel: LogLevel
  let logger: Logger
  let output: Terminal
  /// Path of this program.
  let executable: String
  /// Whether words for people go into a log file.
  let logsToFile: Bool

  init(_ command: CommandSpecification, _ arguments: CommandLineArguments, output: Terminal) throws(ClusterError) {
    let environment = Environment.current()
    var early = ConfigurationLoader.environmentConfiguration(environment)
    early.merge(arguments.configuration)
    let selection = try ProfileSelection.select(early, command: command, environment)
    try Self.prepare(selection, for: command, early)

    let extra = try early.string("extra_config_file", of: command.application)
    let files = try ConfigurationLoader(environment).load(command.configurationName, profile: selection.profile, extra: extra)
    var configuration = files.configuration
    configuration.merge(early)
    configuration.adoptFormerNames()

    self.command = command
    self.arguments = arguments
    self.configuration = configuration
    self.selection = selection
    self.environment = environment
    self.output = output
    executable = Self.pathOfThisProgram()
    logLevel = LogLevel(rawValue: try configuration.integer("log_level", of: command.application) ?? LogLevel.info.rawValue)
    logsToFile = try configuration.bool("log_to_file", of: command.application) ?? false
    logger = try Self.logger(command, configuration, selection.profile, logLevel, toFile: logsToFile)

    for warning in files.warnings + configuration.unknownSettings() { note(.warning, warning) }
    for file in files.files { note(.debug, "configuration read from \(file)") }
    if let directory = try configuration.string("work_dir", of: command.application), !directory.isEmpty {
      let path = Path.expanded(directory, environment)
      guard chdir(path) == 0 else {
        throw ClusterError(.missingFile, "the directory of --work-dir: \(FileError(path: path, action: "work in", code: errno))")
      }
    }
  }

  /// Whether the program was called by one of ipyparallel's names.
  var isIpyparallelFace: Bool { Invocation.face != "apus" }

  func note(_ level: LogLevel, _ text: String) {
    guard level >= logLevel else { return }
    guard logsToFile || command == .controller else { return output.note(level, text) }
    switch level {
    case .debug: logger.debug("\(text)")
    case .info: logger.info("\(text)")
    case .warning: logger.warning("\(text)")
    default: logger.error("\(text)")
    }
  }

  // MARK: profile

  /// Commands that start something make the profile; the others want one that is there.
  private static func prepare(_ selection: ProfileSelection, for command: CommandSpecification, _ configuration: Configuration)
    throws(ClusterError)
  {
    let profile = selection.profile
    let makes = try configuration.bool("auto_create", of: command.application) ?? (command == .start || command == .controller)
    if makes || profile.exists && command == .engines {
      try profile.create()
    } else if !profile.exists, selection.isExplicit {
      let names = selection.ipythonDirectory.profiles().map { selection.ipythonDirectory.abbreviation(of: $0.location) }
      let name = selection.ipythonDirectory.abbreviation(of: profile.location)
      let near = Suggestion.nearest(to: name, among: names)
      throw ClusterError(
        .missingFile, "there is no profile \(profile.location)\(near.map { "; did you mean '\($0)'?" } ?? "")",
        advice: "'apus start --profile=NAME' makes one, and so does 'apus profile create NAME'.")
    }
    if try configuration.bool("copy_config_files", of: command.application) ?? false {
      let path = Path.join(profile.location, "\(command.configurationName)_config.py")
      let overwrites = try configuration.bool("overwrite", of: command.application) ?? false
      guard !FileSystem.exists(path) || overwrites else { return }
      do throws(FileError) {
        try AtomicFile.write(Array(Configuration.template(for: command).utf8), to: path, mode: 0o644)
      } catch { throw ClusterError(.cannotWrite, "the configuration file: \(error)") }
      Terminal().note(.info, "wrote \(path)")
    }
  }

  static func pathOfThisProgram() -> String { Path.thisProgram ?? Path.absolute(CommandLine.arguments.first ?? "apus") }

  // MARK: log

  private static func logger(
    _ command: CommandSpecification, _ configuration: Configuration, _ profile: ProfileDirectory, _ level: LogLevel, toFile: Bool
  ) throws(ClusterError) -> Logger {
    var descriptor = STDERR_FILENO
    let name = command.configurationName
    if command == .controller, try configuration.bool("clean_logs", of: command.application) ?? false {
      for file in FileSystem.entries(of: profile.log) where file.hasPrefix("\(name)-") && file.hasSuffix(".log") {
        if file.dropFirst(name.count + 1).dropLast(4).allSatisfy(\.isNumber) { FileSystem.remove(Path.join(profile.log, file)) }
      }
    }
    if toFile {
      let id = try configuration.string("cluster_id", of: command.application) ?? ""
      let path = Path.join(profile.log, "\(name)-\(id)-\(getpid()).log")
      descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o644)
      guard descriptor >= 0 else {
        throw ClusterError(.cannotWrite, "the log: \(FileError(path: path, action: "write", code: errno))")
      }
      Terminal().note(.info, "Sending logs to \(path)")
    }
    // The controller's loops must not wait for a log; other commands have nothing better to do.
    let writer = command == .controller ? LogWriter.forThisProgram(descriptor) : nil
    let handler = LineLogHandler(label: command.application, level: level) { [descriptor] line in
      if let writer { writer.write(line) } else { Terminal.write(line, to: descriptor) }
    }
    return Logger(label: command.application) { _ in handler }
  }

  /// Prints the configuration where that was asked for.
  func showConfiguration() throws(ClusterError) -> Bool {
    if try configuration.bool("show_config_json", of: command.application) ?? false {
      output.print(String(decoding: configuration.json.encoded(pretty: true), as: UTF8.self) + "\n")
      return true
    }
    guard try configuration.bool("show_config", of: command.application) ?? false else { return false }
    output.print(configuration.text)
    return true
  }
}
