extension TraitTable {
  /// For help texts only: `python -m apus.engine` reads its own options.
  static let engineClasses = [
    TraitClass(
      "IPEngine", parents: ["BaseParallelApplication"], "The engine.", isOpen: true,
      [
        Trait(
          "python", .text, "''",
          "The Python interpreter of the engines. Else $APUS_PYTHON, the active virtual environment, python3."),
        Trait("url_file", .text, "''", "Path of the engines' connection file. Else it is looked for in the profile."),
        Trait("url_file_name", .text, "'ipcontroller-engine.json'", "Name of the connection file in the profile."),
        Trait("wait_for_url_file", .seconds, "10", "Seconds to wait for the connection file."),
        Trait("startup_command", .text, "''", "Python code to run at the start, in the namespace of the tasks."),
        Trait("startup_script", .text, "''", "Script to run at the start."),
        Trait("registration_url", .text, "''", "Where to register; the connection file wins over it."),
        Trait("location", .text, "''", "Name or address of the controller's host, instead of the connection file's."),
        Trait("timeout", .seconds, "5", "Seconds that the controller may take to answer the registration."),
        Trait("max_heartbeat_misses", .integer, "50", "Heartbeats of the controller that may be missed. 0 is any number."),
        Trait("sshserver", .text, "''", "[user@]server[:port] to tunnel through."),
        Trait("sshkey", .text, "''", "Key file for the tunnel."),
        Trait("paramiko", .bool, "False", "Accepted, without effect: tunnels are made by ssh."),
        Trait("use_mpi", .bool, "False", "Take the MPI rank as the engine's id and set up MPI."),
        Trait("init_mpi", .text, "imports mpi4py", "Code that sets up MPI."),
        Trait("mpi_registration_delay", .seconds, "0.02", "Seconds between the registrations of neighbouring ranks."),
        Trait("id", .any, "None", "The id to ask for."),
        Trait("enable_nanny", .bool, "True", "Accepted, without effect: an engine of Apus needs no nanny process."),
        Trait("curve_serverkey", .text, "''", "The controller's public CURVE key."),
        Trait("curve_publickey", .text, "''", "The engine's public CURVE key."),
        Trait("curve_secretkey", .text, "''", "The engine's secret CURVE key."),
      ])
  ]
}
