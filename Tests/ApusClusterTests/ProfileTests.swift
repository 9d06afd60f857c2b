import ApusProcess
import ApusCluster
import ApusMessaging
import Glibc
import Testing

@Suite struct ProfileTests {
  let directory = TemporaryDirectory()

  func select(_ arguments: [String], _ environment: [String: String] = [:]) throws -> ProfileSelection {
    let environment = Environment(["HOME": "/home/a"].merging(environment) { $1 })
    var configuration = ConfigurationLoader.environmentConfiguration(environment)
    configuration.merge(try CommandLineParser.parse(arguments, for: .start).configuration)
    return try ProfileSelection.select(configuration, command: .start, environment)
  }

  @Test func aPathWinsOverANameAndTheCommandLineOverTheEnvironment() throws {
    #expect(try select([]).profile.location == "/home/a/.ipython/profile_default")
    #expect(try select([]).isExplicit == false)
    #expect(try select([], ["IPYTHONDIR": "/i"]).profile.location == "/i/profile_default")
    #expect(try select(["--ipython-dir=/j"], ["IPYTHONDIR": "/i"]).profile.location == "/j/profile_default")
    #expect(try select(["--profile=x"], ["IPYTHONDIR": "/i"]).profile.location == "/i/profile_x")
    #expect(try select([], ["IPP_PROFILE_DIR": "/p"]).profile.location == "/p")
    #expect(try select(["--profile-dir=~/q"], ["IPP_PROFILE_DIR": "/p"]).profile.location == "/home/a/q")
    #expect(try select(["--profile=x"], ["IPP_PROFILE_DIR": "/p", "IPYTHONDIR": "/i"]).profile.location == "/i/profile_x")
    #expect(try select(["--profile=x", "--profile-dir=/q"]).profile.location == "/q")
  }

  @Test func creation() throws {
    let profile = IPythonDirectory(directory.path + "/ipy").profile("new")
    #expect(!profile.exists)
    #expect(try profile.create())
    #expect(try !profile.create())
    var status = stat()
    #expect(stat(profile.security, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o700)
    #expect(FileSystem.isDirectory(profile.log))
    #expect(FileSystem.isFile(profile.startup + "/README"))
    let all = IPythonDirectory(directory.path + "/ipy")
    #expect(all.profiles() == [profile])
    #expect(all.abbreviation(of: profile.location) == "new")
    #expect(all.abbreviation(of: "/elsewhere/p") == "/elsewhere/p")
  }

  @Test func namesOfFiles() {
    let profile = ProfileDirectory("/p/")
    #expect(profile.connectionFile("client", clusterID: "") == "/p/security/ipcontroller-client.json")
    #expect(profile.connectionFile("engine", clusterID: "a") == "/p/security/ipcontroller-a-engine.json")
    #expect(profile.clusterFile("") == "/p/security/cluster-.json")
    #expect(ProfileDirectory.isLauncherLog("ipengine--1-0.log"))
    #expect(!ProfileDirectory.isLauncherLog("engines.json"))
  }

  @Test func aDirectoryThatCannotBeMadeIsAnError() throws {
    directory.write("file", "")
    let error = try #require(throws: ClusterError.self) { try ProfileDirectory(directory.path + "/file/p").create() }
    #expect(error.exitCode == .cannotWrite)
  }

  @Test func paths() {
    let environment = Environment(["HOME": "/h", "X": "y"])
    #expect(Path.expanded("~/a", environment) == "/h/a")
    #expect(Path.expanded("/$X/${X}z/$NONE", environment) == "/y/yz/$NONE")
    #expect(Path.absolute("/a/./b/../c//d") == "/a/c/d")
    #expect(Path.join("a", "/b") == "/b")
    #expect(Path.parent("/a") == "/")
    #expect(Path.parent("a") == ".")
  }

  @Test func interpreters() throws {
    directory.write("bin/apus", "")
    directory.write("lib/apus/python/apus/__init__.py", "")
    for name in ["venv/bin/python", "path/python3", "own"] {
      directory.write(name, "")
      chmod("\(directory.path)/\(name)", 0o755)
    }
    let program = directory.path + "/bin/apus"
    func find(_ named: String?, _ variables: [String: String]) throws -> EngineInterpreter {
      try EngineInterpreter(named: named, executable: program, Environment(variables))
    }
    let path = ["PATH": "/nowhere:\(directory.path)/path"]
    let found = try find(nil, path)
    #expect(found.python == directory.path + "/path/python3")
    #expect(found.packageDirectory == directory.path + "/lib/apus/python")
    #expect(
      try find(nil, path.merging(["VIRTUAL_ENV": directory.path + "/venv"]) { $1 }).python == directory.path + "/venv/bin/python")
    #expect(
      try find(nil, path.merging(["APUS_PYTHON": "python3", "VIRTUAL_ENV": "/x"]) { $1 }).python == directory.path + "/path/python3"
    )
    #expect(try find(directory.path + "/own", path).python == directory.path + "/own")
    let command = found.command(arguments: ["-c", "1"], Environment(["PYTHONPATH": "/mine"]))
    #expect(command.arguments.dropFirst() == ["-m", "apus.engine", "-c", "1"])
    #expect(command.environment["PYTHONPATH"] == "\(directory.path)/lib/apus/python:/mine")
    for variables in [["PATH": "/nowhere"], ["PATH": "/nowhere", "VIRTUAL_ENV": "/x"], ["APUS_PYTHON": "/x"]] {
      let error = try #require(throws: ClusterError.self) { try find(nil, variables) }
      #expect(error.exitCode == .missingProgram)
    }
    #expect(throws: ClusterError.self) { try find("/x/python", path) }
  }

  /// As pip installs: the package beside those of others, the interpreter beside the program.
  @Test func interpretersOfAnEnvironment() throws {
    for name in ["bin/python3.9", "bin/python3.12", "bin/python3", "other/bin/python", "venv/bin/python"] {
      directory.write(name, name)
      chmod("\(directory.path)/\(name)", 0o755)
    }
    for version in ["python3.9", "python3.12"] {
      directory.write("lib/\(version)/site-packages/apus/_foreign/apus/__init__.py", "")
    }
    directory.write("lib/python3.12/site-packages/apus/_lib/libjemalloc.so.2", "")
    let packages = directory.path + "/lib/python3.12/site-packages/apus"
    func find(_ named: String?, _ variables: [String: String] = [:]) throws -> EngineInterpreter {
      try EngineInterpreter(
        named: named, executable: directory.path + "/bin/apus",
        Environment(variables.merging(["PATH": "/nowhere", "VIRTUAL_ENV": directory.path + "/venv"]) { $1 }))
    }
    // The newest version that has it, whatever is activated; it needs no path.
    let own = try find(nil)
    #expect(own.python == directory.path + "/bin/python3.12")
    #expect(own.packageDirectory == nil)
    let command = own.command(arguments: [], Environment(["PYTHONPATH": "/mine"]))
    #expect(command.environment["PYTHONPATH"] == "/mine")
    #expect(command.environment["LD_PRELOAD"] == packages + "/_lib/libjemalloc.so.2")
    // Others get the package alone: another version beside it, another environment.
    #expect(try find(nil, ["APUS_PYTHON": directory.path + "/bin/python3.9"]).packageDirectory == packages + "/_foreign")
    let other = try find(directory.path + "/other/bin/python")
    #expect(other.python == directory.path + "/other/bin/python")
    #expect(other.packageDirectory == packages + "/_foreign")
  }

  /// Debian's pip puts the package and the program in another place than the interpreter.
  @Test func interpretersOfASystem() throws {
    directory.write("path/python3", "")
    chmod("\(directory.path)/path/python3", 0o755)
    directory.write("lib/python3.11/dist-packages/apus/_foreign/apus/__init__.py", "")
    let found = try EngineInterpreter(
      named: nil, executable: directory.path + "/bin/apus", Environment(["PATH": directory.path + "/path"]))
    #expect(found.python == directory.path + "/path/python3")
    #expect(found.packageDirectory == directory.path + "/lib/python3.11/dist-packages/apus/_foreign")
  }

  @Test func enginesGetTheAllocatorUnlessPeopleSayOtherwise() {
    let allocator = Allocator(library: "/lib/a.so.2", settings: "x:1")
    let plain = allocator.added(to: Environment(["A": "b"]))
    #expect(
      plain.variables == ["A": "b", "LD_PRELOAD": "/lib/a.so.2", "MALLOC_CONF": "x:1", "APUS_PRELOADED": "/lib/a.so.2 x:1"])
    let own = allocator.added(to: Environment(["LD_PRELOAD": "/mine.so", "MALLOC_CONF": "y:2"]))
    #expect(own.variables == ["LD_PRELOAD": "/mine.so:/lib/a.so.2", "MALLOC_CONF": "y:2", "APUS_PRELOADED": "/lib/a.so.2"])
    let refused = Environment(["APUS_ENGINE_ALLOCATOR": "system"])
    #expect(allocator.added(to: refused) == refused)
  }
}
