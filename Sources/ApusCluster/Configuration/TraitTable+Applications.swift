extension TraitTable {
  static let applicationClasses = [
    TraitClass(
      "Application", "What every command has.",
      [
        Trait("log_level", .logLevel, "20", "How much to log: 10 or DEBUG is everything, 50 or CRITICAL next to nothing."),
        Trait("log_format", .text, "''", "Accepted, without effect: Apus has one format."),
        Trait("log_datefmt", .text, "''", "Accepted, without effect: Apus has one format."),
        Trait("show_config", .bool, "False", "Print the configuration for people, and end."),
        Trait("show_config_json", .bool, "False", "Print the configuration as JSON, and end."),
      ]),
    TraitClass(
      "BaseIPythonApplication", parents: ["Application"], "What IPython's commands share.",
      [
        Trait("profile", .text, "'default'", "Name of the profile: the directory profile_<name> in the IPython directory."),
        Trait("ipython_dir", .text, "''", "Directory of all profiles. Else $IPYTHONDIR, else ~/.ipython."),
        Trait("extra_config_file", .text, "''", "A configuration file to read after all others."),
        Trait("auto_create", .bool, "True", "Make the profile directory where it is missing."),
        Trait("copy_config_files", .bool, "False", "Write a commented configuration file into the profile first."),
        Trait("overwrite", .bool, "False", "Let --init replace a configuration file that exists."),
        Trait("verbose_crash", .bool, "False", "Accepted, without effect."),
        Trait("add_ipython_dir_to_sys_path", .bool, "False", "Accepted, without effect."),
      ]),
    TraitClass(
      "BaseParallelApplication", parents: ["BaseIPythonApplication"], "What all commands of ipyparallel share.",
      [
        Trait("cluster_id", .text, "''", "Added to the names of a cluster's files, so that one profile can have several clusters."),
        Trait("work_dir", .text, "'.'", "Directory to work in."),
        Trait("log_to_file", .bool, "False", "Log to <profile>/log/<command>-<cluster id>-<pid>.log instead of standard error."),
        Trait("clean_logs", .bool, "False", "Remove the command's old logs first."),
        Trait("log_url", .text, "''", "Accepted, without effect: Apus does not send logs to an iplogger."),
      ]),
    TraitClass("IPCluster", parents: ["BaseParallelApplication"], "The command ipcluster."),
    TraitClass(
      "IPClusterEngines", parents: ["BaseParallelApplication"], "ipcluster engines.",
      [
        Trait("daemonize", .bool, "False", "Leave everything running in the background and end once the engines are ready."),
        Trait(
          "early_shutdown", .integer(atLeast: 0), "30",
          "Seconds in which the death of all engines counts as a failed start that ends the cluster."),
      ]),
    TraitClass(
      "IPClusterStart", parents: ["IPClusterEngines"], "ipcluster start.",
      [Trait("clean_logs", .bool, "True", "Remove logs of earlier engines and controllers first.")]),
    TraitClass(
      "IPClusterStop", parents: ["BaseParallelApplication"], "ipcluster stop.",
      [
        Trait("signal", .integer, "2", "Accepted, without effect, as in ipyparallel: processes get SIGTERM, then SIGKILL."),
        Trait("all_cluster_ids", .bool, "False", "Stop every cluster of the profile."),
      ]),
    TraitClass(
      "IPClusterList", parents: ["BaseParallelApplication"], "ipcluster list.",
      [Trait("output_format", .choice(["text", "json"]), "'text'", "A table for people, or JSON for programs.")]),
    TraitClass(
      "IPClusterClean", parents: ["BaseParallelApplication"], "ipcluster clean.",
      [
        Trait(
          "force", .bool, "False",
          "Remove the files of running clusters too. Their processes go on, and nobody can stop them by name."),
        Trait("all_profiles", .bool, "False", "Clean all profiles, not just the selected one."),
      ]),
    TraitClass(
      "ProfileDir", "A profile's directory.",
      [Trait("location", .text, "''", "Path of the profile directory. It wins over a profile's name.")]),
    TraitClass(
      "Session", "How messages are signed.",
      [
        Trait("key", .text, "''", "Key of the signatures, as text. Empty switches signing off. Without one, a new one is made."),
        Trait("keyfile", .text, "''", "File that holds the key."),
        Trait("session", .text, "''", "Identifier of this party. Without one, a new one is made."),
        Trait("username", .text, "'username'", "Name that messages carry."),
        Trait("signature_scheme", .choice(["hmac-sha256"]), "'hmac-sha256'", "How messages are signed."),
        Trait("packer", .text, "'json'", "How messages are written. Apus writes JSON; 'orjson' is the same on the wire."),
        Trait("unpacker", .text, "'json'", "How messages are read."),
        Trait("digest_history_size", .integer(atLeast: 1), "65536", "Signatures that are remembered against replays."),
        Trait("debug", .bool, "False", "Accepted, without effect."),
        Trait("check_pid", .bool, "True", "Accepted, without effect."),
        Trait("copy_threshold", .integer, "65536", "Accepted, without effect."),
        Trait("buffer_threshold", .integer, "1024", "Accepted, without effect."),
        Trait("item_threshold", .integer, "64", "Accepted, without effect."),
        Trait("metadata", .dictionary, "{}", "Accepted, without effect."),
      ]),
  ]
}
