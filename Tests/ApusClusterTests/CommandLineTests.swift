import ApusCluster
import ApusMessaging
import Testing

@Suite struct CommandLineTests {
  func value(_ arguments: [String], _ className: String, _ trait: String, _ command: CommandSpecification = .start) throws
    -> JSONValue?
  {
    try CommandLineParser.parse(arguments, for: command).configuration.value(trait, of: className)
  }

  @Test(arguments: [["-n", "2"], ["-n2"], ["-n=2"], ["--n=2"], ["--n", "2"], ["--Cluster.n=2"], ["--Cluster.n", "2"]])
  func everyFormOfAnOption(_ arguments: [String]) throws {
    #expect(try value(arguments, "Cluster", "n") == 2)
  }

  @Test func sharedOptions() throws {
    #expect(try value(["--profile=x"], "IPClusterStart", "profile") == "x")
    #expect(try value(["--profile-dir", "/p"], "ProfileDir", "location") == "/p")
    #expect(try value(["--cluster-id=a-b"], "IPClusterStart", "cluster_id") == "a-b")
    #expect(try value(["--debug"], "IPClusterStart", "log_level") == 10)
    #expect(try value(["--quiet"], "IPClusterStart", "log_level") == 50)
    #expect(try value(["--log-level=DEBUG"], "IPClusterStart", "log_level") == 10)
    #expect(try value(["--log-level=10"], "IPController", "log_level", .controller) == 10)
    #expect(try value(["--log-to-file"], "IPClusterStart", "log_to_file") == true)
    #expect(try value(["--log-to-file=False"], "IPClusterStart", "log_to_file") == false)
    #expect(try value(["--clean-logs=False"], "IPClusterStart", "clean_logs") == false)
    #expect(try value(["--BaseParallelApplication.cluster_id=q"], "IPClusterStart", "cluster_id") == "q")
  }

  @Test func controllerOptions() throws {
    func controller(_ argument: String, _ className: String, _ trait: String) throws -> JSONValue? {
      try value([argument], className, trait, .controller)
    }
    #expect(try controller("--ping=250", "HeartMonitor", "period") == 250)
    #expect(try controller("--scheme=lru", "TaskScheduler", "scheme_name") == "lru")
    #expect(try controller("--hwm=0", "TaskScheduler", "hwm") == 0)
    #expect(try controller("--sqlitedb", "IPController", "db_class") == "SQLiteDB")
    #expect(try controller("--ip=*", "IPController", "ip") == "*")
    #expect(try controller("--ports=10-12,20", "IPController", "ports") == [10, 11, 12, 20])
    #expect(try controller("--MongoDB.database=x", "MongoDB", "database") == "x")
    #expect(try controller("--no-secure", "Session", "key") == "")
    let restored = try CommandLineParser.parse(["--restore"], for: .controller).configuration
    #expect(try restored.bool("reuse_files", of: "IPController") == true)
    #expect(try restored.bool("restore_engines", of: "IPController") == true)
  }

  @Test func listsGrowByRepetition() throws {
    let arguments = ["--ControllerLauncher.controller_args=--a", "--ControllerLauncher.controller_args=--b"]
    #expect(try value(arguments, "LocalControllerLauncher", "controller_args") == ["--a", "--b"])
    #expect(try value(["--EngineLauncher.engine_cmd=['a', 'b']"], "LocalEngineSetLauncher", "engine_cmd") == ["a", "b"])
    #expect(
      try value(["--EngineLauncher.environment=A=1", "--EngineLauncher.environment=B=x=y"], "EngineLauncher", "environment")
        == ["A": "1", "B": "x=y"])
    #expect(try value(["--ports=1", "--ports=3-4"], "IPController", "ports", .controller) == [1, 3, 4])
  }

  @Test func whatFollowsTwoDashesIsNotRead() throws {
    let parsed = try CommandLineParser.parse(["-n", "2", "x", "--", "--sqlitedb", "--", "-n"], for: .start)
    #expect(parsed.passedThrough == ["--sqlitedb", "--", "-n"])
    #expect(parsed.operands == ["x"])
    #expect(throws: ClusterError.self) { try CommandLineParser.parse(["--", "x"], for: .list) }
  }

  @Test func clientOptions() throws {
    #expect(try value(["--targets=0:4:2", "x"], "ApusPx", "targets", .px) == "0:4:2")
    #expect(try value(["x", "-t", "-2:"], "ApusPx", "targets", .px) == "-2:")
    #expect(try value(["--timeout=10m", "x"], "ApusPx", "timeout", .px) == 600.0)
    #expect(try value(["--json"], "ApusStatus", "output_format", .status) == "json")
    #expect(try value(["--file", "f"], "ApusTasks", "url_file", .tasks) == "f")
    #expect(try value(["-n", "5"], "ApusTasks", "limit", .tasks) == 5)
    #expect(try value(["--profile=p"], "ApusAbort", "profile", .abort) == "p")
    #expect(try value(["--cluster-id=c"], "ApusRun", "cluster_id", .run) == "c")
    for command in CommandSpecification.clients {
      let name = command.name
      for option in ["profile", "profile-dir", "cluster-id", "file", "json", "help"] {
        #expect(command.option(named: option) != nil, "\(name) \(option)")
      }
      let error = try #require(throws: ClusterError.self) { try CommandLineParser.parse(["--profle=x"], for: command) }
      #expect(error.advice == "See 'apus \(name) --help' for what there is.")
    }
  }

  @Test(
    arguments: [
      ([], nil), (["--watch"], 2.0), (["--watch=0.5"], 0.5), (["--watch", "5"], 5.0), (["--watch", "--json"], 2.0),
      (["--watch=1m"], 60.0),
    ] as [([String], Double?)])
  func aNumberMayBeLeftOut(_ arguments: [String], _ seconds: Double?) throws {
    #expect(try value(arguments, "ApusStatus", "watch", .status)?.doubleValue == seconds)
  }

  @Test func aProgramsArgumentsAreItsOwn() throws {
    let parsed = try CommandLineParser.parse(["--targets=0", "s.py", "--json", "-x", "--", "--help"], for: .run)
    #expect(parsed.operands == ["s.py", "--json", "-x", "--", "--help"])
    #expect(parsed.action == nil)
    #expect(try CommandLineParser.parse(["--", "-x"], for: .px).operands == ["-x"])
    #expect(try CommandLineParser.parse(["-"], for: .px).operands == ["-"])
  }

  @Test(arguments: [
    (["--profle=x"], "did you mean --profile?"), (["--dictd"], "'controller' has it"), (["-n"], "needs a value"),
    (["--debug=1"], "takes no value"), (["-x"], "no option -x"), (["--n", "--debug"], "needs a value"),
  ])
  func wrongOptionsGetAHint(_ arguments: [String], _ hint: String) throws {
    let error = try #require(throws: ClusterError.self) { try CommandLineParser.parse(arguments, for: .start) }
    #expect(error.exitCode == .usage)
    #expect(error.reason.contains(hint) || hint == "'controller' has it" && error.reason.contains("no option"), "\(error)")
  }

  @Test func anOptionOfTheControllerIsSentThere() throws {
    let error = try #require(throws: ClusterError.self) { try CommandLineParser.parse(["--sqlitedb"], for: .start) }
    #expect(error.reason.contains("Write it after --"))
  }

  @Test func actions() throws {
    #expect(try CommandLineParser.parse(["--help"], for: .stop).action == .help)
    #expect(try CommandLineParser.parse(["-h"], for: .stop).action == .help)
    #expect(try CommandLineParser.parse(["--help-all"], for: .stop).action == .helpAll)
    #expect(try CommandLineParser.parse(["--version"], for: .stop).action == .version)
  }

  @Test func valuesOfTheWrongKindNameTheirOrigin() throws {
    let error = try #require(throws: ClusterError.self) { try value(["--ping=abc"], "HeartMonitor", "period", .controller) }
    #expect(error.reason == "HeartMonitor.period should be an integer of at least 1, and --ping says 'abc'")
    #expect(throws: ClusterError.self) { try value(["--ports=0"], "IPController", "ports", .controller) }
    #expect(throws: ClusterError.self) { try value(["--ports=10-x"], "IPController", "ports", .controller) }
    #expect(throws: ClusterError.self) { try value(["--scheme=best"], "TaskScheduler", "scheme_name", .controller) }
    #expect(throws: ClusterError.self) { try value(["--log-level=15"], "IPClusterStart", "log_level") }
    #expect(throws: ClusterError.self) { try value(["-n", "-1"], "Cluster", "n") }
  }

  @Test func unknownTraitsAreTold() throws {
    let configuration = try CommandLineParser.parse(["--HeartMonitor.perod=4", "--Custer.n=3"], for: .controller).configuration
    let warnings = configuration.unknownSettings()
    #expect(warnings.count == 2)
    #expect(warnings.contains { $0.hasSuffix("did you mean period?") })
    #expect(warnings.contains { $0.hasSuffix("did you mean Cluster?") })
    let foreign = try CommandLineParser.parse(
      ["--InteractiveShell.colors=nocolor", "--SlurmEngineSetLauncher.queue=x"], for: .start)
    #expect(foreign.configuration.unknownSettings().isEmpty)
  }

  @Test func everyOptionSetsATraitThatExists() {
    for command in CommandSpecification.all {
      for option in command.options {
        if case .value(let className, let trait) = option.effect {
          #expect(TraitTable.trait(trait, of: className) != nil, "\(command.name) \(option.spelling)")
        }
        #expect(!option.help.isEmpty, "\(command.name) \(option.spelling)")
      }
      #expect(Set(command.options.map(\.name)).count == command.options.count)
    }
  }

  @Test(arguments: [("profle", "profile"), ("log_level", "log-level"), ("engine", "engines"), ("zzz", nil)])
  func suggestions(_ written: String, _ expected: String?) {
    #expect(Suggestion.nearest(to: written, among: ["profile", "log-level", "engines", "n"]) == expected)
  }

  @Test func helpShowsEveryOptionWithinTheWidth() {
    for command in CommandSpecification.all {
      let text = HelpText(program: "apus", width: 100).text(for: command, everything: true)
      for option in command.options where option.name != "h" { #expect(text.contains(option.spelling)) }
      let long = text.split(separator: "\n").filter { $0.count > 110 }
      #expect(long.isEmpty, "\(long)")
    }
  }
}
