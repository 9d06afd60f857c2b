extension TraitTable {
  private static let batchTraits = [
    Trait("submit_command", .texts, "the system's own", "Command that submits a script."),
    Trait("delete_command", .texts, "the system's own", "Command that ends a job; its id follows."),
    Trait("signal_command", .texts, "the system's own", "Command that sends a signal to a job; signal and id follow."),
    Trait(
      "job_id_regexp", .text, "the system's own", "Regular expression that finds the job's id in what the submit command says."),
    Trait("job_id_regexp_group", .integer(atLeast: 0), "0", "Group of that expression that is the id."),
    Trait(
      "batch_template", .text, "''",
      "Template of the script: {n}, {program_and_args}, {queue}, {output_file} and more in braces. docs/launchers.md lists them."),
    Trait("batch_template_file", .text, "''", "File that holds the template."),
    Trait("batch_file_name", .text, "one of its own for each job", "Path of the script, which is kept there then."),
    Trait("queue", .text, "''", "Queue, or partition."),
    Trait("namespace", .dictionary, "{}", "Further variables of the template."),
    Trait("output_file", .text, "in the profile's log", "File for what a job writes; each engine's ends with its number."),
    // ipyparallel has these for Slurm alone.
    Trait("account", .text, "''", "Account that is charged."), Trait("qos", .text, "''", "Quality of service (Slurm)."),
    Trait("timelimit", .any, "''", "How long a job may run, in the system's own form."),
    Trait("options", .text, "''", "Further words for the submit command."),
  ]

  private static func family(_ stem: String, _ title: String) -> [TraitClass] {
    [
      TraitClass("\(stem)Launcher", parents: ["BatchSystemLauncher"], "A job of \(title)."),
      TraitClass(
        "\(stem)EngineSetLauncher", parents: ["\(stem)Launcher", "BatchEngineSetLauncher"], "Engines as jobs of \(title)."),
      TraitClass(
        "\(stem)ControllerLauncher", parents: ["\(stem)Launcher", "ControllerLauncher"], "The controller as a job of \(title)."),
    ]
  }

  static let launcherClasses =
    [
      TraitClass(
        "MPILauncher", parents: ["LocalProcessLauncher"], "A program under mpiexec.",
        [
          Trait("mpi_cmd", .texts, "['mpiexec']", "The command that starts MPI programs."),
          Trait("mpi_args", .texts, "[]", "Its further arguments."),
        ]),
      TraitClass("MPIEngineSetLauncher", parents: ["MPILauncher", "EngineLauncher"], "Engines as ranks of one MPI program."),
      TraitClass("MPIControllerLauncher", parents: ["MPILauncher", "ControllerLauncher"], "The controller under mpiexec."),
      TraitClass(
        "SSHLauncher", parents: ["BaseLauncher"], "A process of another host.",
        [
          Trait("ssh_cmd", .texts, "['ssh']", "Command for a host."), Trait("ssh_args", .texts, "[]", "Its further arguments."),
          Trait(
            "connect_timeout", .number, "10",
            "Seconds that a host may take to be connected to; one that takes longer is not waited for at a stop."),
          Trait("scp_cmd", .texts, "['scp']", "Accepted, without effect: files go over the connection that is there."),
          Trait("scp_args", .texts, "[]", "Accepted, without effect."),
          Trait("user", .text, "''", "User name on hosts that are named without one."),
          Trait("hostname", .text, "''", "The controller's host; engines has those of engines."),
          Trait("location", .text, "''", "The same with a user: user@host."),
          Trait("to_send", .any, "[]", "Files to send first: pairs (path here, path there, from the home directory on)."),
          Trait("to_fetch", .any, "[]", "Accepted, without effect: engines make no files that the launcher needs."),
          Trait("remote_profile_dir", .text, "''", "Profile directory there, from the home directory on."),
          Trait(
            "remote_python", .text, "'python3'", "The interpreter there, which has the package apus unless it is where it is here."),
          Trait("poll_seconds", .number, "60", "Accepted, without effect: how often a host is asked depends on what happens."),
        ]),
      TraitClass("SSHEngineLauncher", parents: ["SSHLauncher", "EngineLauncher"], "An engine of another host."),
      TraitClass(
        "SSHEngineSetLauncher", parents: ["SSHEngineLauncher"], "Engines of other hosts.",
        [
          Trait(
            "engines", .any, "{}",
            "Hosts with their numbers of engines: {'host1': 2, 'user@host2:2222': {'n': 4, 'engine_args': []}}."),
          Trait("delay", .seconds, "0", "Accepted, without effect: all engines of a host are started at once."),
        ]),
      TraitClass("SSHControllerLauncher", parents: ["SSHLauncher", "ControllerLauncher"], "The controller on another host."),
      TraitClass("BatchSystemLauncher", parents: ["BaseLauncher"], "A job of a batch system.", batchTraits),
      TraitClass(
        "BatchEngineSetLauncher", parents: ["BatchSystemLauncher", "EngineLauncher"], "Engines as jobs of a batch system."),
    ] + family("Slurm", "Slurm") + family("PBS", "PBS") + family("SGE", "Grid Engine") + family("LSF", "LSF")
    + family("HTCondor", "HTCondor")
}
