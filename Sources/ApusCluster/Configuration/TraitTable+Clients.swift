extension TraitTable {
  /// The commands that are clients. They are Apus's own: ipyparallel has none.
  static let clientClasses = [
    TraitClass(
      "ApusClient", parents: ["BaseParallelApplication"], "What all commands share that are clients of a cluster.",
      [
        Trait(
          "url_file", .text, "''",
          "The connection file of the cluster, or a copy of it: ipcontroller-client.json. Else that of the profile."),
        Trait("output_format", .choice(["text", "json"]), "'text'", "Words for people, or JSON for programs."),
        Trait("connect_timeout", .duration, "5", "How long the controller may take to answer the first question."),
      ]),
    TraitClass(
      "ApusExecution", parents: ["ApusClient"], "What 'px' and 'run' share.",
      [
        Trait("targets", .text, "'all'", "The engines: ids (0,2), a slice of all ids (0:4:2, -2:), or all Python engines."),
        Trait("timeout", .duration, "0", "After so long what still runs is interrupted. 0 is never. 90, 10m, 2h."),
        Trait("stream", .bool, "False", "With --json: one JSON document a line, as it happens."),
      ]),
    TraitClass("ApusPx", parents: ["ApusExecution"], "apus px."),
    TraitClass("ApusRun", parents: ["ApusExecution"], "apus run."),
    TraitClass(
      "ApusStatus", parents: ["ApusClient"], "apus status.",
      [
        Trait("watch", .duration, "0", "Look again whenever something has happened, so long apart at least. 0 is once."),
        Trait(
          "interval", .duration, "0.5", "How long apart the two looks are that a rate is measured by, without --watch. 0: no rates."
        ),
      ]),
    TraitClass(
      "ApusScale", parents: ["ApusClient"], "apus scale.",
      [
        Trait("least", .integer(atLeast: 0), "1", "Engines at least."),
        Trait("most", .integer(atLeast: 0), "the least", "Engines at most."),
        Trait("force", .bool, "False", "Let engines go that were addressed themselves, and those that compute when they are done."),
        Trait("timeout", .duration, "60", "How long to wait for the number. 0 is for ever."),
      ]),
    TraitClass(
      "ApusRestart", parents: ["ApusClient"], "apus restart.",
      [Trait("timeout", .duration, "60", "How long to wait for the engines. 0 is for ever.")]),
    TraitClass(
      "ApusTasks", parents: ["ApusClient"], "apus tasks.",
      [
        Trait("limit", .integer(atLeast: 0), "20", "The latest so many. 0 is all."),
        Trait("status", .choice(["pending", "running", "done", "failed"]), "None", "Only those in this state."),
        Trait("engine", .text, "''", "Only those of this engine, by its id or its uuid."),
        Trait("label", .text, "''", "Only those with this label; a pattern as for files: 'px*'."),
        Trait(
          "since", .text, "''", "Only those submitted since: so long ago (90s, 10m, 2h, 1d), or at a moment (2026-01-31T09:00)."),
      ]),
    TraitClass("ApusExplain", parents: ["ApusClient"], "apus explain."),
    TraitClass(
      "ApusEvents", parents: ["ApusClient"], "What 'story' and 'trace' share.",
      [
        Trait("task", .text, "''", "Only events of these tasks, by their ids: ID,ID."),
        Trait("engine", .text, "''", "Only events of this engine, by its id or its uuid."),
        Trait(
          "since", .text, "''", "Only events since: so long ago (90s, 10m, 2h, 1d), or at a moment (2026-01-31T09:00)."),
      ]),
    TraitClass(
      "ApusStory", parents: ["ApusEvents"], "apus story.",
      [
        Trait("client", .text, "''", "Only events of this client, by its session, with which the ids of its tasks begin."),
        Trait("kind", .text, "''", "Only events of these kinds: finished,retried; or all of 'task', 'engine' or 'client'."),
        Trait("limit", .integer(atLeast: 0), "1000", "The latest so many. 0 is all."),
        Trait("follow", .bool, "False", "Go on with what happens, until Ctrl-C."),
      ]),
    TraitClass(
      "ApusTrace", parents: ["ApusEvents"], "apus trace.",
      [Trait("out", .text, "''", "The file to write. '-' is standard output.")]),
    TraitClass(
      "ApusAbort", parents: ["ApusClient"], "apus abort.",
      [
        Trait("all_tasks", .bool, "False", "Every task that is not done, whoever submitted it."),
        Trait("queued_only", .bool, "False", "Take back what has not begun, and let what runs go on."),
        Trait("timeout", .duration, "5", "How long to wait until the tasks have ended."),
      ]),
  ]
}
