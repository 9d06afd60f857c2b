import ApusMessaging

/// Who is told of tasks on the client's loop, in place of callers who wait for their handles.
protocol TaskListener: AnyObject, Sendable {
  /// Once for each task. Its output may still come.
  func ended(_ task: TaskNumber, _ ending: TaskEnding)
  /// A message that an engine published about a task.
  func printed(_ task: TaskNumber, _ message: Envelope)
  /// Once, after the end of the task: no more output will come. Not said of tasks that had none, unless they await it.
  func outputEnded(_ task: TaskNumber)
}
