/// How a launcher speaks to people; the commands print it.
public protocol ClusterAnnouncer {
  /// One paragraph, without a full stop at its end.
  func say(_ level: LogLevel, _ text: String)
  /// What is shown while people wait, and replaced by the next; `nil` takes it away. Nobody needs it.
  func show(progress: String?)
  /// The one line that says the engines are ready.
  func announce(ready: String)
  /// The cluster serves: how its start has ended. Of a launcher that stays with a cluster in the background.
  func serving(_ code: ExitCode)
}
