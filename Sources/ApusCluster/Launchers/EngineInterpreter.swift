public import ApusProcess

/// The Python that engines run in, and where Apus's own Python package is for it.
public struct EngineInterpreter: Sendable, Hashable {
  /// Path of the interpreter.
  public let python: String
  /// Directory that holds the package `apus`; `nil` where the interpreter has it installed.
  public let packageDirectory: String?
  private let allocator: Allocator?

  /// - Parameters:
  ///   - named: of `--python` or `IPEngine.python`; it wins over `APUS_PYTHON`, the environment that pip installed this program into,
  ///     the active virtual environment, and `python3` of PATH.
  ///   - executable: path of this program, beside which the package is found.
  /// - Throws: with `.missingProgram`.
  public init(named: String?, executable: String, _ environment: Environment) throws(ClusterError) {
    let package = try PythonPackage.find(for: executable, environment)
    python = try Self.find(named, installed: package.interpreter, environment)
    packageDirectory = package.isInstalled(for: python) ? nil : package.searchDirectory
    allocator = Allocator.ofThisProgram ?? package.allocator.flatMap { Allocator(preloading: $0) }
  }

  private static let advice =
    "Name an interpreter by --python=/path/to/python or in the environment variable APUS_PYTHON, or activate a virtual environment."

  private static func find(_ named: String?, installed: String?, _ environment: Environment) throws(ClusterError) -> String {
    let candidates = [("--python", named), ("the environment variable APUS_PYTHON", environment["APUS_PYTHON"])]
    for (source, name) in candidates {
      guard let name, !name.isEmpty else { continue }
      if let path = environment.find(Path.expanded(name, environment)) { return path }
      throw ClusterError(.missingProgram, "there is no Python interpreter \(name), which \(source) names", advice: advice)
    }
    if let installed { return installed }
    if let directory = environment["VIRTUAL_ENV"] {
      let path = Path.join(directory, "bin/python")
      if Environment.isExecutable(path) { return path }
      throw ClusterError(
        .missingProgram, "the virtual environment \(directory), which VIRTUAL_ENV names, has no bin/python", advice: advice)
    }
    if let path = environment.find("python3") { return path }
    throw ClusterError(.missingProgram, "there is no python3 on PATH", advice: advice)
  }

  /// `python -m apus.engine`, with the package on its path before everything else unless it is installed there.
  /// - Parameter preloads: whether the allocator of this host's Apus is to be loaded first; other hosts may not have it there.
  public func command(arguments: [String], preloads: Bool = true, _ environment: Environment) -> ChildProcess.Command {
    var environment = environment
    if let packageDirectory {
      environment["PYTHONPATH"] = packageDirectory + (environment["PYTHONPATH"].map { ":\($0)" } ?? "")
    }
    if preloads, let allocator { environment = allocator.added(to: environment) }
    return .init(program: python, arguments: [python, "-m", "apus.engine"] + arguments, environment: environment)
  }
}
