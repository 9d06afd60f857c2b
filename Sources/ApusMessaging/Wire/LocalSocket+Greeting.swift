public import Transport

extension LocalSocket {
  /// How libzmq calls the task scheduler towards engines: what comes from it by a local socket gets this name too.
  public static let schedulerIdentity = Frame("task_out")
  /// Where the task scheduler takes connections of engines, in the folder of a controller's local sockets.
  public static func schedulerPath(in directory: String) -> String { LocalDirectory.file("tasks", in: directory) }
  /// How an engine introduces itself to the scheduler: `content["uuid"]`, once, before anything else.
  public static let greeting = MessageType("local_connection")
}
