import ApusMessaging

/// The commands that tell what has happened in a cluster, and why.
extension CommandSpecification {
  public static let explain = CommandSpecification(
    name: "explain", formerName: "apus explain", application: "ApusExplain", configurationName: "apus",
    summary: "Say why a task waits or ended, or what an engine does",
    discussion: """
      For a task: what it waits for, which engines cannot have it and why, or where it ran, each try with its reason, how it
      ended, and its time by phase. For an engine, by its number or its uuid: what it runs and since when, what waits there,
      when its heart was last heard, or why it is gone. It makes no difference who submitted the task.

      The exit code is 13 for what nobody knows.
      """,
    examples: [
      ("ID", "a task; 'apus tasks' and 'apus story' show ids"), ("0", "engine 0"),
      ("--json ID | jq '.reasons[].code'", "for programs"),
    ],
    options: connecting("ApusExplain"), classes: classes, operands: .one("TASK ID or ENGINE"), passesThrough: nil)

  private static func reading(_ application: String) -> [CommandOption] {
    [
      .value("task", application, "task"), .value("engine", application, "engine"), .value("since", application, "since"),
    ]
  }

  public static let story = CommandSpecification(
    name: "story", formerName: "apus story", application: "ApusStory", configurationName: "apus",
    summary: "Show what has happened: the controller's log of events",
    discussion: """
      One event a line, oldest first: tasks submitted, queued, placed, retried and finished, engines and clients that came and
      went. The controller remembers the events of some hundred thousand tasks. Dates are in UTC.

      Kinds: submitted, restored, waiting, queued, placed, started, retried, lost, abort_requested, aborted, resubmitted, finished;
      engine_registered, engine_draining, engine_lost; client_connected, client_gone; controller_started; left_out.
      """,
    examples: [
      ("", "the latest"), ("--task=ID", "one task's"), ("--engine=0 --since=10m", "one engine's, of the last ten minutes"),
      ("--kind=engine", "engines that came and went"), ("--follow", "as it happens, until Ctrl-C"),
      ("--follow --json", "for programs: one document a line"),
    ],
    options: reading("ApusStory") + [
      .value("client", "ApusStory", "client"), .value("kind", "ApusStory", "kind"), .value("limit", "ApusStory", "limit"),
      .value("n", "ApusStory", "limit", "The same as --limit."), .flag("follow", "ApusStory", "follow"),
      .flag("f", "ApusStory", "follow", true, "The same as --follow."),
    ] + connecting("ApusStory"),
    classes: classes, operands: .none, passesThrough: nil)

  public static let trace = CommandSpecification(
    name: "trace", formerName: "apus trace", application: "ApusTrace", configurationName: "apus",
    summary: "Write what tasks did on which engine as a trace for Perfetto",
    discussion: """
      Writes the Trace Event Format in JSON, which https://ui.perfetto.dev and chrome://tracing show: a row for each engine with
      the tasks that it ran, how long tasks waited in the queue, and the moments at which engines were lost.
      """,
    examples: [
      ("--out=trace.json", "everything that the controller remembers"), ("--out=trace.json --since=5m", "the last five minutes"),
    ],
    options: [.value("out", "ApusTrace", "out"), .value("o", "ApusTrace", "out", "The same as --out.")] + reading("ApusTrace")
      + connecting("ApusTrace"),
    classes: classes, operands: .none, passesThrough: nil)
}
