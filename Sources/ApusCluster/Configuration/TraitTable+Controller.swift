extension TraitTable {
  private static let formerPorts = "Former name for ports: they join the pools."

  static let controllerClasses = [
    TraitClass(
      "IPController", parents: ["BaseParallelApplication"], "The controller.",
      [
        Trait("ip", .text, "'127.0.0.1'", "Address to listen on, for clients, engines and the monitor. '*' is every interface."),
        Trait("client_ip", .text, "'127.0.0.1'", "Address to listen on for clients."),
        Trait("engine_ip", .text, "'127.0.0.1'", "Address to listen on for engines."),
        Trait("monitor_ip", .text, "'127.0.0.1'", "Accepted, without effect: Apus has no monitor socket."),
        Trait(
          "location", .text, "the host's name",
          "Name or address under which others reach this host; goes into the connection files."),
        Trait("transport", .choice(["tcp", "ipc"]), "'tcp'", "Transport of all sockets. Apus has tcp."),
        Trait("client_transport", .text, "'tcp'", "Transport for clients."),
        Trait("engine_transport", .text, "'tcp'", "Transport for engines."),
        Trait("monitor_transport", .text, "'tcp'", "Accepted, without effect."),
        Trait(
          "ports", .ports, "[]", "Ports to take when the other pools have none left: 10101-10120,10200. Random ones after that."),
        Trait("client_ports", .ports, "[]", "Ports for clients, before the common pool."),
        Trait("engine_ports", .ports, "[]", "Ports for engines, before the common pool."),
        Trait("regport", .integer(atLeast: 0), "0", formerPorts), Trait("notifier_port", .integer(atLeast: 0), "0", formerPorts),
        Trait("mon_port", .integer(atLeast: 0), "0", formerPorts), Trait("hb", .ports, "[]", formerPorts),
        Trait("mux", .ports, "[]", formerPorts), Trait("task", .ports, "[]", formerPorts),
        Trait("control", .ports, "[]", formerPorts),
        Trait("iopub", .ports, "[]", formerPorts),
        Trait("ssh_server", .text, "''", "[user@]server[:port] that clients tunnel through; goes into their connection file."),
        Trait(
          "engine_ssh_server", .text, "''", "[user@]server[:port] that engines tunnel through; goes into their connection file."),
        Trait("reuse_files", .bool, "False", "Take ports and key from connection files that exist, and keep the files at the end."),
        Trait("restore_engines", .bool, "False", "Expect the engines of an earlier controller back under their ids."),
        Trait("engine_json_file", .text, "'ipcontroller-engine.json'", "Name of the engines' connection file."),
        Trait("client_json_file", .text, "'ipcontroller-client.json'", "Name of the clients' connection file."),
        Trait("use_threads", .bool, "False", "Accepted: the schedulers of Apus are threads of one process anyway."),
        Trait(
          "enable_curve", .bool, "True",
          "Encrypt every TCP connection with CURVE. Without, other users of this host are kept out, and other addresses are refused."
        ),
        Trait(
          "local_sockets", .bool, "True", "Let Apus's own parties on this host connect by Unix domain sockets, and not by TCP."),
        Trait("allow_insecure", .bool, "False", "Start although somebody without the key could read or change what is sent."),
        Trait("curve_publickey", .text, "''", "The controller's public CURVE key, 40 characters. Without one, a pair is made."),
        Trait("curve_secretkey", .text, "''", "The controller's secret CURVE key, 40 characters."),
        Trait("broadcast_scheduler_depth", .integer(atLeast: 0), "1", "Depth of the tree that broadcast messages go through."),
        Trait(
          "registration_timeout", .integer(atLeast: 0), "0", "Seconds an engine may take to register. 0: 30, or ten heartbeats."),
        Trait(
          "journal", .bool, "False",
          "Keep a journal of balanced tasks: a controller that died and is started again goes on with them."),
        Trait(
          "journal_sync", .choice(["always", "interval", "never"]), "'interval'",
          "When the journal is forced to the disk: before anything follows from it, once a second, or when the system sees fit."),
        Trait("journal_limit", .integer(atLeast: 1), "4294967296", "Bytes that the journal may have."),
        Trait(
          "journal_engine_timeout", .integer(atLeast: 1), "30",
          "Seconds that engines may take to come back to a controller that was started again."),
        Trait(
          "history_limit", .integer(atLeast: 0), "16777216",
          "Bytes of events to remember for 'apus story', 'explain' and 'trace'. 0 remembers none."),
        Trait("db_class", .text, "'DictDB'", "Task database: DictDB (memory), SQLiteDB, NoDB."),
      ]),
    TraitClass("Hub", "Accepted: its settings have moved to IPController.", isOpen: true),
    TraitClass(
      "HeartMonitor", "How the controller notices silent engines.",
      [
        Trait("period", .integer(atLeast: 1), "3000", "Milliseconds between heartbeats."),
        Trait("max_heartmonitor_misses", .integer(atLeast: 1), "10", "Heartbeats an engine may miss in a row."),
        Trait("debug", .bool, "False", "Log every heartbeat."),
      ]),
    TraitClass("Scheduler", "Accepted: see TaskScheduler.", isOpen: true),
    TraitClass(
      "TaskScheduler", parents: ["Scheduler"], "Where load-balanced tasks go.",
      [
        Trait(
          "scheme_name", .choice(["leastload", "lru", "plainrandom", "weighted", "twobin", "pure"]), "'leastload'",
          "How an engine is chosen for a task."),
        Trait(
          "hwm", .integer(atLeast: 0), "1",
          "Tasks an engine may hold at once. 0 is no limit: fast, and unfair with tasks of unequal length."),
        Trait(
          "finished_tasks", .integer(atLeast: 1), "262144",
          "Tasks that have ended and that dependencies may name; older ones are unknown. About 50 bytes each."),
      ]),
    TraitClass("BaseDB", "What all task databases share.", [Trait("session", .text, "''", "Accepted, without effect.")]),
    TraitClass(
      "DictDB", parents: ["BaseDB"], "The task database in memory.",
      [
        Trait("record_limit", .integer(atLeast: 1), "1024", "Records to keep."),
        Trait("size_limit", .integer(atLeast: 1), "1073741824", "Bytes of buffers to keep."),
        Trait("cull_fraction", .number, "0.1", "Part that goes when a limit is met."),
      ]),
    TraitClass("NoDB", parents: ["BaseDB"], "No task database."),
    TraitClass(
      "SQLiteDB", parents: ["BaseDB"], "The task database in a file.",
      [
        Trait("filename", .text, "'tasks.db'", "Name of the file."),
        Trait("location", .text, "''", "Directory of the file. Without one, the profile directory."),
        Trait("table", .text, "'ipython-tasks'", "Table to use. An empty name gives every controller a table of its own."),
      ]),
    TraitClass(
      "MongoDB", parents: ["BaseDB"], "Not in Apus: --sqlitedb keeps tasks in a file.",
      [
        Trait("database", .text, "''", "Not in Apus."), Trait("connection_args", .any, "[]", "Not in Apus."),
        Trait("connection_kwargs", .any, "{}", "Not in Apus."),
      ]),
  ]
}
