import ApusProcess

/// The Python half of Apus: the package `apus`, where this program finds it.
struct PythonPackage: Hashable {
  /// Directory that holds the package and nothing else: what goes on the path of an interpreter that does not know the package.
  let searchDirectory: String
  /// The interpreter of the environment that both were installed into; it finds the package by itself.
  var interpreter: String?
  /// The allocator that came along, to be loaded into engines; a program that jemalloc is linked into cannot give its own away.
  var allocator: String?

  /// - Parameter executable: path of this program.
  /// - Throws: with `.missingProgram`.
  static func find(for executable: String, _ environment: Environment) throws(ClusterError) -> PythonPackage {
    if let named = environment["APUS_PYTHONPATH"] {
      if isHeld(by: named) { return .init(searchDirectory: Path.absolute(named)) }
      throw ClusterError(.missingProgram, "APUS_PYTHONPATH names \(named), which does not hold the Python package 'apus'")
    }
    var directory = Path.parent(executable)
    let prefix = Path.parent(directory)
    let installed = Path.join(prefix, "lib/apus/python")
    if isHeld(by: installed) { return .init(searchDirectory: installed) }
    if let package = ofEnvironment(prefix, programs: directory) { return package }
    // In a checkout the program lies some levels below it.
    while directory != "/", directory != "." {
      directory = Path.parent(directory)
      let candidate = Path.join(directory, "python")
      if isHeld(by: candidate) { return .init(searchDirectory: candidate) }
    }
    throw ClusterError(
      .missingProgram, "the Python part of Apus was not found: it should be in \(installed)",
      advice: "Install Apus by pip or by scripts/install PREFIX, or name the directory of the package 'apus' in APUS_PYTHONPATH.")
  }

  /// Whether an interpreter is the one that the package was installed for, under whichever of its names in that environment. Those of
  /// all virtual environments are links to one file: the directory tells them apart.
  func isInstalled(for python: String) -> Bool {
    guard let interpreter, Path.parent(python) == Path.parent(interpreter) else { return false }
    return FileSystem.version(of: python) == FileSystem.version(of: interpreter)
  }

  private static func isHeld(by directory: String) -> Bool { FileSystem.isFile(Path.join(directory, "apus/__init__.py")) }

  /// As pip installs it: the program in `bin`, the package among those of a Python version.
  private static func ofEnvironment(_ prefix: String, programs: String) -> PythonPackage? {
    var found: (version: Int, package: PythonPackage)?
    for library in ["lib", "lib64"].map({ Path.join(prefix, $0) }) {
      for name in FileSystem.entries(of: library) where name.hasPrefix("python3.") {
        guard let version = Int(name.dropFirst("python3.".count)), version > found?.version ?? 0 else { continue }
        for packages in ["site-packages", "dist-packages"] {
          guard let package = installed(in: Path.join(library, name, packages)) else { continue }
          let names = [name, "python3", "python"].map { Path.join(programs, $0) }
          found = (version, package)
          found?.package.interpreter = names.first(where: Environment.isExecutable)
        }
      }
    }
    // `pip install --target`.
    return found?.package ?? installed(in: prefix)
  }

  /// Among packages that are not ours: those must not get in front of another interpreter's own, so `_foreign` leads to ours alone.
  private static func installed(in packages: String) -> PythonPackage? {
    let directory = Path.join(packages, "apus/_foreign")
    guard isHeld(by: directory) else { return nil }
    let allocator = Path.join(packages, "apus/_lib/libjemalloc.so.2")
    return .init(searchDirectory: directory, allocator: FileSystem.isFile(allocator) ? allocator : nil)
  }
}
