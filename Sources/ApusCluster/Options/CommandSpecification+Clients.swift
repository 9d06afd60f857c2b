import ApusMessaging

/// The commands that are clients of a cluster.
extension CommandSpecification {
  public static let clients = [px, run, status, tasks, explain, story, trace, abort, scale, restart]

  static func connecting(_ application: String) -> [CommandOption] {
    [
      .value("file", application, "url_file"), .value("connect-timeout", application, "connect_timeout"),
      .flag("json", application, "output_format", "json", "JSON for programs, on standard output."),
    ] + shared(application).filter { !unneeded.contains($0.name) }
  }

  /// Of the shared options, what makes no sense where nothing is started.
  private static let unneeded: Set = ["clean-logs", "log-url", "log-to-file", "init"]

  private static func executing(_ application: String) -> [CommandOption] {
    [
      .value("targets", application, "targets"), .value("t", application, "targets", "The same as --targets."),
      .value("timeout", application, "timeout"), .flag("stream", application, "stream"),
    ] + connecting(application)
  }

  static let classes = ["ProfileDir"]

  public static let px = CommandSpecification(
    name: "px", formerName: "apus px", application: "ApusPx", configurationName: "apus",
    summary: "Run Python code on engines",
    discussion: """
      Runs the code on every engine at once, as ipyparallel's %px does: what it prints comes at once, each line behind the
      name of its stream and engine, then the values of its last expression and the errors. Names stay in the engines.

      Ctrl-C interrupts it there. The exit code is 1 if it failed on an engine, 124 if the time was over, 130 after Ctrl-C.
      """,
    examples: [
      ("'import os; os.getpid()'", "on all engines"), ("--targets=0,2 'x = 5'", "on two of them"),
      ("--targets=::2 'x'", "on every second one"), ("- < prepare.py", "code from standard input"),
      ("--json 'x' | jq '.engines[].result'", "for programs"), ("--timeout=30 'work()'", "for half a minute at most"),
    ],
    options: executing("ApusPx"), classes: classes, operands: .one("CODE"), passesThrough: nil)

  public static let run = CommandSpecification(
    name: "run", formerName: "apus run", application: "ApusRun", configurationName: "apus",
    summary: "Run a Python script on engines",
    discussion: """
      Runs the script on every engine, as 'python SCRIPT ARGUMENT…' would: as the module __main__, with sys.argv and __file__
      set. Its text is sent, so the engines need no copy of the file. Its names are kept in the engines for 'apus px'.
      Options of this command stand before the script; what follows is the script's.

      Output, Ctrl-C and exit codes are those of 'apus px'.
      """,
    examples: [
      ("simulate.py --steps 100", "on all engines, with two arguments"), ("--targets=0 prepare.py", "on one"),
      ("--json analyse.py > report.json", "for programs"),
    ],
    options: executing("ApusRun"), classes: classes, operands: .program("SCRIPT", arguments: "ARGUMENT"), passesThrough: nil)

  public static let status = CommandSpecification(
    name: "status", formerName: "apus status", application: "ApusStatus", configurationName: "apus",
    summary: "Show the engines of a cluster and what they do",
    discussion: """
      Shows the controller, and for each engine its kind, the direct tasks in its queue, the balanced tasks placed on it, the
      tasks it has done and how many a second. With --watch it looks again when something has happened.
      """,
    examples: [
      ("", "once"), ("--watch", "at every change, until Ctrl-C; two seconds apart at least"), ("--watch=0.5", "more often"),
      ("--json", "for programs; with --watch one document a line"),
    ],
    options: [
      .optionalNumber("watch", "ApusStatus", "watch", standard: "2"), .value("interval", "ApusStatus", "interval"),
    ] + connecting("ApusStatus"),
    classes: classes, operands: .none, passesThrough: nil)

  public static let scale = CommandSpecification(
    name: "scale", formerName: "apus scale", application: "ApusScale", configurationName: "apus",
    summary: "Change the number of engines",
    discussion: """
      Starts more engines, or lets some go: they take no more tasks, and end when they have none. None goes that computes, or that
      was addressed itself (a DirectView's push, execute or apply) and may hold names; --force lets those go, too, the first when
      they are done. With --min and --max the number follows the work. Without anything it shows what was decided last, and why.

      A range needs a launcher that stays: that of 'apus start' does, in the background as well, unless --no-journal was said
      without --min, --max or --restart. A number is enough where nobody stays, with engines on this machine.
      """,
    examples: [("8", "eight engines"), ("--min=1 --max=16", "as many as there is work for"), ("", "what was decided, and why")],
    options: [
      .value("min", "ApusScale", "least"), .value("max", "ApusScale", "most"), .flag("force", "ApusScale", "force"),
      .value("timeout", "ApusScale", "timeout"),
    ] + connecting("ApusScale"),
    classes: classes, operands: .some("ENGINES"), passesThrough: nil)

  public static let restart = CommandSpecification(
    name: "restart", formerName: "apus restart", application: "ApusRestart", configurationName: "apus",
    summary: "Start engines anew",
    discussion: """
      Ends engines, whatever they compute, and starts others in their place: all, or those that are named by their ids. With
      'apus start --keep-ids' they have the ids of those before them. Needs a launcher that stays, as 'apus scale --min' does.
      """,
    examples: [("", "all"), ("0 3", "two of them")],
    options: [.value("timeout", "ApusRestart", "timeout")] + connecting("ApusRestart"),
    classes: classes, operands: .some("ENGINE"), passesThrough: nil)

  public static let tasks = CommandSpecification(
    name: "tasks", formerName: "apus tasks", application: "ApusTasks", configurationName: "apus",
    summary: "List tasks of the task database",
    discussion: """
      Lists the latest tasks, or those that are named, oldest first. A task is pending while it waits for an engine, running
      while an engine has it (which runs its tasks one after the other), then done or failed. Dates are in UTC.
      """,
    examples: [
      ("", "the latest twenty"), ("--status=failed --since=1h", "what failed in the last hour"),
      ("--engine=0 --status=running", "what engine 0 has to do"), ("--limit=0 --json", "all, for programs"), ("ID", "one task"),
    ],
    options: [
      .value("limit", "ApusTasks", "limit"), .value("n", "ApusTasks", "limit", "The same as --limit."),
      .value("status", "ApusTasks", "status"), .value("engine", "ApusTasks", "engine"), .value("label", "ApusTasks", "label"),
      .value("since", "ApusTasks", "since"),
    ] + connecting("ApusTasks"),
    classes: classes, operands: .some("TASK ID"), passesThrough: nil)

  public static let abort = CommandSpecification(
    name: "abort", formerName: "apus abort", application: "ApusAbort", configurationName: "apus",
    summary: "End tasks, whoever submitted them",
    discussion: """
      Takes back tasks that have not begun, and interrupts those that run: Python code gets a KeyboardInterrupt. (Engines of
      ipyparallel let a running task go on.) Waits until they have ended. 'apus tasks --status=running' shows the ids.
      """,
    examples: [("ID", "one task"), ("--all", "all that is queued or runs"), ("--all --queued", "only what has not begun")],
    options: [
      .flag("all", "ApusAbort", "all_tasks"), .flag("queued", "ApusAbort", "queued_only"),
      .value("timeout", "ApusAbort", "timeout"),
    ] + connecting("ApusAbort"),
    classes: classes, operands: .some("TASK ID"), passesThrough: nil)
}
