import ApusMessaging

extension CommandSpecification {
  public static let all = [start, stop, list, clean, engines, controller, engine] + clients
  /// What `ipcluster` knows as subcommands.
  public static let ofCluster = [start, stop, engines, list, clean]

  private static let actions: [CommandOption] = [
    .action("help", .help, "Show this help."), .action("h", .help, "Show this help."),
    .action("help-all", .helpAll, "Show everything that can be configured."),
    .action("version", .version, "Show the version."),
  ]

  static func shared(_ application: String) -> [CommandOption] {
    [
      .value("profile", application, "profile"), .value("profile-dir", "ProfileDir", "location"),
      .value("ipython-dir", application, "ipython_dir"), .value("cluster-id", application, "cluster_id"),
      .value("config", application, "extra_config_file"), .value("work-dir", application, "work_dir"),
      .value("log-level", application, "log_level"),
      .flag("debug", application, "log_level", 10, "Log everything: --log-level=10."),
      .flag("quiet", application, "log_level", 50, "Log next to nothing: --log-level=50."),
      .switchable("log-to-file", application, "log_to_file"), .switchable("clean-logs", application, "clean_logs"),
      .value("log-url", application, "log_url"),
      .flag(
        "init", [.init(application, "copy_config_files", true), .init(application, "auto_create", true)],
        "Write a commented configuration file into the profile first."),
      .flag("show-config", application, "show_config"), .flag("show-config-json", application, "show_config_json"),
    ] + actions
  }

  private static let python: CommandOption = .value("python", "IPEngine", "python")

  private static let session: [CommandOption] = [
    .value("ident", "Session", "session"), .value("user", "Session", "username"), .value("keyfile", "Session", "keyfile"),
    .flag(
      "secure", [.init("Session", "key", .null), .init("Session", "keyfile", "")],
      "Sign messages with a new key. This is the standard."),
    .flag(
      "no-secure", [.init("Session", "key", ""), .init("Session", "keyfile", "")],
      "Do not sign messages. A controller asks for --insecure with it."),
  ]

  /// How engines are started.
  private static let launching: [CommandOption] = [
    .value("engines", "Cluster", "engine_launcher_class"), .value("hosts", "Cluster", "hosts"),
    .value("partition", "Cluster", "queue"), .value("queue", "Cluster", "queue", "The same as --partition."),
    .value("account", "Cluster", "account"), .value("time", "Cluster", "time_limit"), .value("per-job", "Cluster", "per_job"),
    .value("environment-script", "Cluster", "environment_script"), .flag("dry-run", "Cluster", "dry_run"),
  ]

  /// Of engine sets.
  private static let launchers =
    ["LocalEngineSetLauncher", "SSHEngineSetLauncher", "MPIEngineSetLauncher", "SlurmEngineSetLauncher"]

  public static let start = CommandSpecification(
    name: "start", formerName: "ipcluster start", application: "IPClusterStart", configurationName: "ipcluster",
    summary: "Start a controller and engines, on this machine or elsewhere",
    discussion: """
      Starts a controller and n engines, says in one line when they are ready, and stops them at Ctrl-C. Clients find the
      cluster by its profile: ipyparallel.Client() in Python needs nothing else on the same machine.
      """,
    examples: [
      ("-n 4", "four engines; without -n one for each core"),
      ("-n 4 --daemonize", "in the background, until 'stop', and with a journal"),
      ("-n 4 --journal", "tasks survive the controller, which is started again"),
      ("--profile=work --cluster-id=a", "one of several clusters, each with its own name"),
      ("--ip='*' --location=node1", "reachable from other machines"),
      ("-n 64 --engines=slurm --time=2h", "engines as a job of a batch system"),
      ("--engines=ssh --hosts=hosts.txt", "engines on other hosts"),
      ("--controller=slurm --engines=slurm", "the controller as a job, too"),
      ("-- --sqlitedb --ping=1000", "arguments after -- go to the controller"),
    ],
    options: [
      .value("n", "Cluster", "n"),
      .flag("daemonize", "IPClusterStart", "daemonize"),
      .value("ip", "Cluster", "controller_ip"), .value("location", "Cluster", "controller_location"),
      .value("ports", "Cluster", "ports"),
      .value("controller", "Cluster", "controller_launcher_class"), .value("controller-host", "Cluster", "controller_host"),
      .value("delay", "Cluster", "delay"), python,
      .flag("journal", "Cluster", "journal"),
      .flag(
        "no-journal", "Cluster", "journal", false,
        "Keep no journal, in the background either, and whatever a configuration file says: no launcher stays for it."),
      .value("journal-sync", "Cluster", "journal_sync"),
      .value("restart", "Cluster", "restart"), .flag("keep-ids", "Cluster", "keep_ids"),
      .value("min", "Cluster", "least"), .value("max", "Cluster", "most"), .value("idle", "Cluster", "idle"),
      .value("backlog", "Cluster", "backlog"),
    ] + launching + shared("IPClusterStart"),
    classes: ["Cluster", "LocalControllerLauncher"] + launchers + ["ProfileDir"],
    operands: .some("CONTROLLER ARGUMENT"), passesThrough: "the controller")

  public static let engines = CommandSpecification(
    name: "engines", formerName: "ipcluster engines", application: "IPClusterEngines", configurationName: "ipcluster",
    summary: "Add engines to a controller that runs",
    discussion: """
      Starts n engines that connect to the controller of the profile, says in one line when they are ready, and stays with
      them. Ctrl-C interrupts the tasks of the engines, as it does in ipyparallel; SIGTERM stops the engines.
      """,
    examples: [("-n 2", "two more engines for the default profile"), ("-n 2 --profile=work --daemonize", "in the background")],
    options: [
      .value("n", "Cluster", "n"), .flag("daemonize", "IPClusterEngines", "daemonize"), python,
    ] + launching + shared("IPClusterEngines"),
    classes: ["Cluster"] + launchers + ["ProfileDir"], operands: .none, passesThrough: nil)

  public static let stop = CommandSpecification(
    name: "stop", formerName: "ipcluster stop", application: "IPClusterStop", configurationName: "ipcluster",
    summary: "Stop clusters",
    discussion: """
      Ends the controller and the engines of a cluster that 'start' or ipyparallel's Cluster() started on this machine:
      SIGTERM, and SIGKILL for what is left after five seconds.
      """,
    examples: [
      ("", "the cluster of the default profile"), ("--profile=work a b", "two clusters by their ids"),
      ("--all", "all of the profile"),
    ],
    options: [.flag("all", "IPClusterStop", "all_cluster_ids"), .value("signal", "IPClusterStop", "signal")]
      + shared("IPClusterStop"),
    classes: ["ProfileDir"], operands: .some("CLUSTER ID"), passesThrough: nil)

  public static let list = CommandSpecification(
    name: "list", formerName: "ipcluster list", application: "IPClusterList", configurationName: "ipcluster",
    summary: "List clusters",
    discussion: "Lists the clusters of all profiles, or of the profile that is named.",
    examples: [("", "a table"), ("--json", "for programs, with process ids"), ("--profile=work", "one profile's")],
    options: [
      .value("o", "IPClusterList", "output_format"),
      .flag("json", "IPClusterList", "output_format", "json", "The same as -o json."),
    ] + shared("IPClusterList"),
    classes: ["ProfileDir"], operands: .none, passesThrough: nil)

  public static let clean = CommandSpecification(
    name: "clean", formerName: "ipcluster clean", application: "IPClusterClean", configurationName: "ipcluster",
    summary: "Remove the files of clusters that have ended",
    discussion: "Removes cluster files, connection files and logs from the profile. Refuses while one of its clusters runs.",
    examples: [("", "the default profile"), ("--all", "every profile"), ("--force", "also where clusters run")],
    options: [
      .flag("force", "IPClusterClean", "force"), .flag("all", "IPClusterClean", "all_profiles"),
    ] + shared("IPClusterClean"),
    classes: ["ProfileDir"], operands: .none, passesThrough: nil)

  private static func database(_ name: String, _ value: String, _ help: String) -> CommandOption {
    .flag(name, "IPController", "db_class", .string(value), help)
  }

  public static let controller = CommandSpecification(
    name: "controller", formerName: "ipcontroller", application: "IPController", configurationName: "ipcontroller",
    summary: "Run a controller",
    discussion: """
      Runs the hub and the schedulers in this process, and writes the two connection files that clients and engines look
      for in the profile. SIGINT and SIGTERM end it and remove the files.
      """,
    examples: [
      ("", "for clients and engines on this machine"), ("--ip='*' --location=node1", "for those on other machines too"),
      ("--sqlitedb", "keep tasks and results in a file of the profile"), ("--scheme=lru --hwm=0", "how tasks are spread"),
      ("--ports=10101-10120", "through a firewall"), ("--reuse", "the same ports and key at the next start"),
      ("--journal", "go on with the tasks of a controller that died"),
    ],
    options: [
      .value("ip", "IPController", "ip"), .value("location", "IPController", "location"), .value("ports", "IPController", "ports"),
      .value("port", "IPController", "regport"), .value("ping", "HeartMonitor", "period"),
      .value("scheme", "TaskScheduler", "scheme_name"), .value("hwm", "TaskScheduler", "hwm"),
      database("dictdb", "DictDB", "Keep tasks in memory. This is the standard."),
      database("sqlitedb", "SQLiteDB", "Keep tasks in a file of the profile."), database("nodb", "NoDB", "Keep no tasks."),
      database("mongodb", "MongoDB", "Not in Apus: it ends with exit code 69."),
      .flag("reuse", "IPController", "reuse_files"),
      .flag(
        "restore", [.init("IPController", "restore_engines", true), .init("IPController", "reuse_files", true)],
        "--reuse, and expect the engines of an earlier controller back."),
      .value("ssh", "IPController", "ssh_server"), .value("enginessh", "IPController", "engine_ssh_server"),
      .value("transport", "IPController", "transport"), .flag("usethreads", "IPController", "use_threads"),
      .flag("insecure", "IPController", "allow_insecure"),
      .flag("journal", "IPController", "journal"), .value("journal-sync", "IPController", "journal_sync"),
    ] + session + shared("IPController"),
    classes: ["HeartMonitor", "TaskScheduler", "DictDB", "SQLiteDB", "Session", "ProfileDir"], operands: .none, passesThrough: nil)

  public static let engine = CommandSpecification(
    name: "engine", formerName: "ipengine", application: "IPEngine", configurationName: "ipengine",
    summary: "Run one engine",
    discussion: """
      Runs an engine in a Python of your own: --python, else $APUS_PYTHON, else the active virtual environment
      ($VIRTUAL_ENV), else python3 of PATH. That Python needs nothing of Apus installed.
      """,
    examples: [
      ("", "for the controller of the default profile"), ("--file=ipcontroller-engine.json", "for another one"),
      ("--python=/opt/venv/bin/python", "with the packages of that environment"), ("-c 'import numpy'", "prepared for its tasks"),
    ],
    options: [
      python, .value("file", "IPEngine", "url_file"), .value("c", "IPEngine", "startup_command"),
      .value("s", "IPEngine", "startup_script"),
      .value("url", "IPEngine", "registration_url"), .value("location", "IPEngine", "location"),
      .value("timeout", "IPEngine", "timeout"),
      .value("ssh", "IPEngine", "sshserver"), .value("sshkey", "IPEngine", "sshkey"), .flag("mpi", "IPEngine", "use_mpi"),
    ] + session + shared("IPEngine"),
    classes: ["Session", "ProfileDir"], operands: .some("ARGUMENT"), passesThrough: nil)
}
