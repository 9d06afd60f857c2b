extension TraitTable {
  private static let launcherTraits = [
    Trait("stop_timeout", .integer(atLeast: 0), "60", "Seconds that a killed process may take to vanish."),
    Trait("output_limit", .integer(atLeast: 0), "100", "Lines of a failed process's log to show. 0 is all."),
    Trait("environment", .dictionary, "{}", "Environment variables to add for the process."),
  ]

  static let clusterClasses =
    [
      TraitClass(
        "Cluster", "A controller with its engines.",
        [
          Trait("n", .count(most: 10_000), "the number of cores", "Engines to start."),
          Trait(
            "controller_launcher_class", .text, "'local'",
            "How the controller is started: local, ssh, mpi, slurm, pbs, sge, lsf, htcondor."),
          Trait("controller_host", .text, "''", "Host of a controller that ssh starts: host, or user@host:port."),
          Trait(
            "engine_launcher_class", .text, "'local'",
            "How the engines are started: local, ssh, mpi, slurm, pbs, sge, lsf, htcondor."),
          Trait("controller_args", .texts, "[]", "Arguments to add for the controller."),
          Trait("controller_ip", .text, "''", "Address that the controller listens on."),
          Trait("controller_location", .text, "''", "Name or address under which others reach the controller."),
          Trait(
            "delay", .seconds, "0", "Seconds between the controller's start and the engines'. ipyparallel waits 1 s; Apus need not."
          ),
          Trait(
            "engine_timeout", .integer(atLeast: 1), "60",
            "Seconds that the engines may take to register; the time in a batch system's queue does not count."),
          Trait(
            "send_engines_connection_env", .bool, "True",
            "Hand the engines their connection info in the environment. Jobs of batch systems read the file unless this is said: others may see their environment."
          ),
          Trait("hosts", .text, "''", "File of hosts for ssh and mpi, one a line: host, or host and number of engines."),
          Trait("queue", .text, "''", "Partition or queue of a batch system."),
          Trait("account", .text, "''", "Account that a batch system charges."),
          Trait("time_limit", .text, "''", "How long a job may run: 90s, 30m, 2h, 1:30:00; a number alone is minutes."),
          Trait(
            "per_job", .integer(atLeast: 1), "all",
            "Engines in one job of a batch system: with many small jobs they join as they start."),
          Trait(
            "environment_script", .text, "''",
            "A shell script, on the hosts of the engines, in whose environment they run: it loads modules, or activates an environment."
          ),
          Trait("ports", .text, "''", "Ports of the controller, through a firewall: 10101-10120,10200. Random ones after that."),
          Trait("dry_run", .bool, "False", "Print the script and the commands, and start nothing."),
          Trait(
            "journal", .bool, "True in the background",
            "Let the controller keep a journal, and start it again when it has died: its tasks, engines and clients go on."),
          Trait(
            "journal_sync", .choice(["", "always", "interval", "never"]), "''",
            "When the journal is forced to the disk; implies the journal."),
          Trait(
            "controller_restarts", .integer(atLeast: 0), "5", "With a journal: restarts of the controller within a minute at most."),
          Trait(
            "restart", .choice(["never", "on-failure", "always"]), "'never'",
            "Which engines that end are started again: none, those that failed or were lost with their node, or all."),
          Trait(
            "stay", .bool, "False",
            "Let the launcher of a cluster in the background stay with it: it tells why engines have ended, and clients can scale the cluster."
          ),
          Trait(
            "restart_limit", .integer(atLeast: 0), "5",
            "Restarts of an engine in a row, each soon after its start, until it is given up."),
          Trait(
            "keep_ids", .bool, "False", "Let an engine that is started again have the id of the one in whose place it comes."),
          Trait(
            "least", .integer(atLeast: 0), "n",
            "Engines at least: with it, or with the most, the cluster grows and shrinks with its work."),
          Trait(
            "most", .count(most: 100_000), "as many as there are cores", "Engines at most, of a cluster that grows and shrinks."),
          Trait("idle", .seconds, "10", "Seconds of idleness after which an engine of such a cluster may go."),
          Trait(
            "backlog", .seconds, "2",
            "Seconds for which tasks may wait, as things stand, before such a cluster starts another engine."),
          Trait(
            "drain_grace", .seconds, "60",
            "Seconds before the known end of an engine's job from which on it takes no more tasks; a quarter of the job's time at most."
          ),
          Trait("load_profile", .bool, "True", "Accepted: the profile's configuration is always read."),
        ]),
      TraitClass("BaseLauncher", "How a process is started.", launcherTraits),
      TraitClass(
        "LocalProcessLauncher", parents: ["BaseLauncher"], "A process on this host.",
        [
          Trait("poll_seconds", .integer, "30", "Accepted, without effect: the end of a process is known at once."),
          Trait("stop_seconds_until_kill", .integer(atLeast: 0), "5", "Seconds between SIGTERM and SIGKILL."),
        ]),
      TraitClass(
        "ControllerLauncher", parents: ["BaseLauncher"], "How a controller is started.",
        [
          Trait(
            "controller_cmd", .texts, "['ipcontroller']", "Command of the controller: another program that speaks the protocol."),
          Trait("controller_args", .texts, "[]", "Arguments to add for the controller."),
          Trait("connection_info_timeout", .seconds, "60", "Seconds that the controller may take to write its connection files."),
        ]),
      TraitClass("LocalControllerLauncher", parents: ["LocalProcessLauncher", "ControllerLauncher"], "A controller on this host."),
      TraitClass(
        "EngineLauncher", parents: ["BaseLauncher"], "How an engine is started.",
        [
          Trait("engine_cmd", .texts, "['ipengine']", "Command of an engine: another program that speaks the protocol."),
          Trait("engine_args", .texts, "[]", "Arguments to add for an engine."),
        ]),
      TraitClass("LocalEngineLauncher", parents: ["LocalProcessLauncher", "EngineLauncher"], "An engine on this host."),
      TraitClass(
        "LocalEngineSetLauncher", parents: ["LocalEngineLauncher"], "Engines on this host.",
        [Trait("delay", .seconds, "0", "Seconds between one engine's start and the next. ipyparallel waits 0.1 s; Apus need not.")]),
    ] + launcherClasses
}
