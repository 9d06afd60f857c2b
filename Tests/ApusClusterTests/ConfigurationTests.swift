import ApusProcess
import ApusCluster
import ApusMessaging
import Testing

@Suite struct ConfigurationTests {
  let directory = TemporaryDirectory()
  var profile: ProfileDirectory { ProfileDirectory(directory.path + "/profile_default") }

  func load(environment: [String: String] = [:], extra: String? = nil) throws -> ConfigurationLoader.Result {
    try ConfigurationLoader(Environment(environment), systemDirectories: [directory.path + "/etc"])
      .load("ipcontroller", profile: profile, extra: extra)
  }

  @Test func laterFilesWin() throws {
    directory.write(
      "etc/ipcontroller_config.json", #"{"HeartMonitor": {"period": 1, "max_heartmonitor_misses": 1, "debug": true}}"#)
    directory.write("venv/etc/ipython/ipcontroller_config.json", #"{"HeartMonitor": {"period": 2, "max_heartmonitor_misses": 2}}"#)
    directory.write("profile_default/ipython_config.json", #"{"HeartMonitor": {"period": 3}, "version": 1}"#)
    directory.write("profile_default/ipcontroller_config.py", "c.HeartMonitor.period = 4\nc.TaskScheduler.hwm = 7\n")
    directory.write("profile_default/ipcontroller_config.json", #"{"HeartMonitor": {"period": 5}}"#)
    directory.write("extra.json", #"{"HeartMonitor": {"period": 6}}"#)
    let environment = ["VIRTUAL_ENV": directory.path + "/venv"]
    let result = try load(environment: environment)
    #expect(try result.configuration.integer("period", of: "HeartMonitor") == 5)
    #expect(try result.configuration.integer("max_heartmonitor_misses", of: "HeartMonitor") == 2)
    #expect(try result.configuration.bool("debug", of: "HeartMonitor") == true)
    #expect(try result.configuration.integer("hwm", of: "TaskScheduler") == 7)
    #expect(result.files.count == 5)
    let extra = try load(environment: environment, extra: directory.path + "/extra.json")
    #expect(try extra.configuration.integer("period", of: "HeartMonitor") == 6)

    var configuration = extra.configuration
    configuration.merge(try CommandLineParser.parse(["--ping=7"], for: .controller).configuration)
    #expect(try configuration.integer("period", of: "HeartMonitor") == 7)
  }

  @Test func theNearestClassWins() throws {
    var configuration = Configuration()
    configuration.set("BaseParallelApplication", "cluster_id", "base", from: .file("f", line: 1))
    #expect(try configuration.string("cluster_id", of: "IPClusterStart") == "base")
    configuration.set("IPClusterEngines", "cluster_id", "engines", from: .file("f", line: 2))
    #expect(try configuration.string("cluster_id", of: "IPClusterStart") == "engines")
    #expect(try configuration.string("cluster_id", of: "IPController") == "base")
    configuration.set("HubFactory", "ip", "0.0.0.0", from: .file("f", line: 3))
    #expect(try configuration.string("ip", of: "IPController") == "0.0.0.0")
  }

  @Test func formerNamesOfTheCluster() throws {
    var configuration = Configuration()
    configuration.set("IPClusterStart", "n", 3, from: .file("f", line: nil))
    configuration.set("IPClusterEngines", "delay", 2, from: .file("f", line: nil))
    configuration.set("Cluster", "delay", 1, from: .file("f", line: nil))
    configuration.adoptFormerNames()
    #expect(try configuration.integer("n", of: "Cluster") == 3)
    #expect(try configuration.double("delay", of: "Cluster") == 1)
    #expect(configuration.unknownSettings().isEmpty)
  }

  @Test func aMissingExtraFileIsAnError() throws {
    let error = try #require(throws: ClusterError.self) { try load(extra: "nowhere") }
    #expect(error.exitCode == .missingFile)
  }

  @Test(arguments: ["{", "[]", #"{"HeartMonitor": 3}"#])
  func damagedFilesAreNamed(_ text: String) throws {
    directory.write("profile_default/ipcontroller_config.json", text)
    let error = try #require(throws: ClusterError.self) { try load() }
    #expect(error.reason.contains("ipcontroller_config.json"))
  }

  @Test func environmentVariables() throws {
    let configuration = ConfigurationLoader.environmentConfiguration(
      Environment(["IPP_SESSION_KEY": "k", "IPP_CLUSTER_ID": "i", "IPP_PROFILE_DIR": "/p"]))
    #expect(try configuration.string("key", of: "Session") == "k")
    #expect(try configuration.string("cluster_id", of: "IPController") == "i")
    #expect(try configuration.string("location", of: "ProfileDir") == "/p")
    #expect(ConfigurationLoader.environmentConfiguration(Environment([:])).isEmpty)
  }

  @Test func pythonFiles() throws {
    let text = """
      # a comment
      import os
      c = get_config()  # noqa
      c.HeartMonitor.period = 200
      c.Cluster.controller_args = [
          '--a',  # one
          "--b",
      ]
      c.Session.key = b'abc'
      c.IPController.ip = \\
          '*'
      c.Cluster.n = int(os.environ['N'])
      if True:
          c.Cluster.n = 5
      c.Cluster.delay = .5
      """
    let contents = PythonConfigurationFile.parse(text, path: "f.py")
    let configuration = contents.configuration
    #expect(try configuration.integer("period", of: "HeartMonitor") == 200)
    #expect(try configuration.strings("controller_args", of: "Cluster") == ["--a", "--b"])
    #expect(try configuration.string("key", of: "Session") == "abc")
    #expect(try configuration.string("ip", of: "IPController") == "*")
    #expect(try configuration.double("delay", of: "Cluster") == 0.5)
    #expect(configuration.setting("n", of: "Cluster") == nil)
    #expect(contents.ignored == ["f.py:12: c.Cluster.n = int(os.environ['N'])", "f.py:13: if True:"])
    #expect(configuration.setting("period", of: "HeartMonitor")?.origin == .file("f.py", line: 4))
  }

  @Test(
    arguments: [
      ("1", JSONValue.int(1)), ("-1_000", -1000), ("0x10", 16), ("1.5e3", 1500.0), ("True", true), ("None", JSONValue.null),
      ("'a' \"b\"", "ab"), ("r'\\d'", "\\d"), ("'\\x41\\n'", "A\n"), ("(1)", 1), ("(1,)", [1]), ("()", []),
      ("[1, [2], ]", [1, [2]]),
      ("{'a': 1, 2: {}}", ["a": 1, "2": [:]]), ("'''x\ny'''", "x\ny"), (" 1 # one", 1),
    ] as [(String, JSONValue)])
  func literals(_ text: String, _ value: JSONValue) throws { #expect(try PythonLiteral.parse(text) == value) }

  @Test(arguments: ["", "1 2", "[1", "'a", "f()", "a", "1 +", "{1}", "nan"])
  func whatIsNoLiteral(_ text: String) { #expect(throws: PythonLiteral.Failure.self) { try PythonLiteral.parse(text) } }

  @Test func deepLiteralsAreRefused() {
    #expect(throws: PythonLiteral.Failure.self) { try PythonLiteral.parse(String(repeating: "[", count: 100_000)) }
  }

  @Test func theTemplateCanBeRead() {
    for command in CommandSpecification.all {
      let contents = PythonConfigurationFile.parse(Configuration.template(for: command), path: "t.py")
      #expect(contents.ignored.isEmpty)
      #expect(contents.configuration.isEmpty)
    }
  }

  @Test func shownConfigurationIsAConfigurationFile() throws {
    let configuration = try CommandLineParser.parse(["--ping=250", "--ports=1-2"], for: .controller).configuration
    #expect(configuration.json == ["HeartMonitor": ["period": 250], "IPController": ["ports": [1, 2]]])
    #expect(configuration.text.contains(".period = '250'  # --ping"))
  }
}
