public import ApusProcess

/// The Python that engines run in, and where Apus's own Python package is for it.
public struct EngineInterpreter: Sendable, Hashable {
  /// Path of the interpreter.
  public let python: String
  /// Directory that holds the package `apus`.
  public let packageDirectory: String

  /// - Parameters:
  ///   - named: of `--python` or `IPEngine.python`; it wins over `APUS_PYTHON`, the active virtual environment, and `python3` of PATH.
  ///   - executable: path of this program, beside which the package is found.
  /// - Throws: with `.missingProgram`.
  public init(named: String?, executable: String, _ environment: Environment) throws(ClusterError) {
    python = try Self.find(named, environment)
    packageDirectory = try Self.findPackage(executable, environment)
  }

  private static let advice =
    "Name an interpreter by --python=/path/to/python or in the environment variable APUS_PYTHON, or activate a virtual environment."

  private static func find(_ named: String?, _ environment: Environment) throws(ClusterError) -> String {
    let candidates = [("--python", named), ("the environment variable APUS_PYTHON", environment["APUS_PYTHON"])]
    for (source, name) in candidates {
      guard let name, !name.isEmpty else { continue }
      if let path = environment.find(Path.expanded(name, environment)) { return path }
      throw ClusterError(.missingProgram, "there is no Python interpreter \(name), which \(source) names", advice: advice)
    }
    if let directory = environment["VIRTUAL_ENV"] {
      let path = Path.join(directory, "bin/python")
      if Environment.isExecutable(path) { return path }
      throw ClusterError(
        .missingProgram, "the virtual environment \(directory), which VIRTUAL_ENV names, has no bin/python", advice: advice)
    }
    if let path = environment.find("python3") { return path }
    throw ClusterError(.missingProgram, "there is no python3 on PATH", advice: advice)
  }

  private static func findPackage(_ executable: String, _ environment: Environment) throws(ClusterError) -> String {
    func holdsPackage(_ directory: String) -> Bool { FileSystem.isFile(Path.join(directory, "apus/__init__.py")) }
    if let named = environment["APUS_PYTHONPATH"] {
      if holdsPackage(named) { return Path.absolute(named) }
      throw ClusterError(.missingProgram, "APUS_PYTHONPATH names \(named), which does not hold the Python package 'apus'")
    }
    var directory = Path.parent(executable)
    let installed = Path.join(Path.parent(directory), "lib/apus/python")
    if holdsPackage(installed) { return installed }
    // In a checkout the program lies some levels below it.
    while directory != "/", directory != "." {
      directory = Path.parent(directory)
      let candidate = Path.join(directory, "python")
      if holdsPackage(candidate) { return candidate }
    }
    throw ClusterError(
      .missingProgram, "the Python part of Apus was not found: it should be in \(installed)",
      advice: "Install Apus by scripts/install PREFIX, or name the directory of the package 'apus' in APUS_PYTHONPATH.")
  }

  /// `python -m apus.engine`, with the package on its path before everything else.
  public func command(arguments: [String], _ environment: Environment) -> ChildProcess.Command {
    var environment = environment
    environment["PYTHONPATH"] = packageDirectory + (environment["PYTHONPATH"].map { ":\($0)" } ?? "")
    if let allocator = Allocator.ofThisProgram { environment = allocator.added(to: environment) }
    return .init(program: python, arguments: [python, "-m", "apus.engine"] + arguments, environment: environment)
  }
}
