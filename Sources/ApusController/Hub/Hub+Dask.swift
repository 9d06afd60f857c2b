import ApusMessaging
import ApusProcess
import Logging
import Transport

extension Hub {
  /// Starts Dask's own scheduler in a Python process; engines then become its workers (ipyparallel's `Client.become_dask`).
  func becomeDask(_ content: JSONObject, _ message: Envelope) {
    if let address = dask?.address { return wire.reply(to: message, "become_dask_reply", address) }
    // One is starting: whoever asks meanwhile gets its address.
    askedForDask.append(message)
    if dask != nil { return }
    let arguments = content["scheduler_args"] ?? [:]
    daskGeneration += 1
    let generation = daskGeneration
    do throws(ProcessError) {
      dask = try DaskScheduler(python: settings.python, pythonPath: settings.pythonPath, arguments: arguments, loop: loop) {
        [weak self] outcome in self?.assumeIsolated { $0.daskStarted(outcome, generation) }
      }
    } catch { daskStarted(.failure(RemoteError(name: "RuntimeError", value: error.reason)), generation) }
  }

  private func daskStarted(_ outcome: Result<JSONValue, RemoteError>, _ generation: Int) {
    // One that was stopped meanwhile says nothing of its successor.
    guard generation == daskGeneration else { return }
    let answer: JSONValue
    switch outcome {
    case .success(let address):
      dask?.address = address
      answer = address
    case .failure(let error):
      dask = nil
      logger.error("Dask's scheduler did not start", metadata: ["error": "\(error)"])
      answer = error.content
    }
    answerAllWhoAskedForDask(answer)
  }

  func stopDask() {
    dask?.stop()
    dask = nil
    daskGeneration += 1
    answerAllWhoAskedForDask(RemoteError(name: "RuntimeError", value: "Dask's scheduler was stopped while it started").content)
  }

  private func answerAllWhoAskedForDask(_ answer: JSONValue) {
    for message in askedForDask { wire.reply(to: message, "become_dask_reply", answer) }
    askedForDask = []
  }
}
