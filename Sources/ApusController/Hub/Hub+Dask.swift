import ApusMessaging
import Logging
import Transport

extension Hub {
  /// Starts Dask's own scheduler in a Python process; engines then become its workers (ipyparallel's `Client.become_dask`).
  func becomeDask(_ content: JSONObject, _ message: Envelope) {
    if let address = dask?.address { return wire.reply("become_dask_reply", address) }
    let arguments = content["scheduler_args"] ?? [:]
    dask?.stop()
    dask = DaskScheduler(python: settings.python, pythonPath: settings.pythonPath, arguments: arguments) { [weak self] outcome in
      guard let self else { return }
      self.loop.execute { self.assumeIsolated { $0.daskStarted(outcome, message) } }
    }
  }

  private func daskStarted(_ outcome: Result<JSONValue, RemoteError>, _ message: Envelope) {
    wire.begin(message)
    switch outcome {
    case .success(let address):
      dask?.address = address
      wire.reply("become_dask_reply", address)
    case .failure(let error):
      dask = nil
      logger.error("Dask's scheduler did not start", metadata: ["error": "\(error)"])
      wire.reply("become_dask_reply", error.content)
    }
  }
}
