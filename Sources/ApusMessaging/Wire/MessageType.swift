/// The vocabulary of the wire (protocol sections 5 to 7). Unknown words are legal: relays pass them on.
public struct MessageType: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }
  public var description: String { text }

  /// `apply_request` is answered by `apply_reply`.
  public var reply: MessageType {
    text.hasSuffix("_request") ? MessageType(text.dropLast("request".count) + "reply") : MessageType(text + "_reply")
  }

  // work
  public static let applyRequest = MessageType("apply_request")
  public static let applyReply = MessageType("apply_reply")
  public static let executeRequest = MessageType("execute_request")
  public static let executeReply = MessageType("execute_reply")

  // engines and the hub
  public static let registrationRequest = MessageType("registration_request")
  public static let registrationReply = MessageType("registration_reply")
  public static let unregistrationRequest = MessageType("unregistration_request")
  public static let registrationNotification = MessageType("registration_notification")
  public static let unregistrationNotification = MessageType("unregistration_notification")
  public static let shutdownNotification = MessageType("shutdown_notification")
  public static let hubError = MessageType("hub_error")

  // clients and the hub
  public static let connectionRequest = MessageType("connection_request")
  public static let queueRequest = MessageType("queue_request")
  public static let loadRequest = MessageType("load_request")
  public static let resultRequest = MessageType("result_request")
  public static let historyRequest = MessageType("history_request")
  public static let dbRequest = MessageType("db_request")
  public static let purgeRequest = MessageType("purge_request")
  public static let resubmitRequest = MessageType("resubmit_request")
  public static let shutdownRequest = MessageType("shutdown_request")
  public static let shutdownReply = MessageType("shutdown_reply")
  public static let becomeDaskRequest = MessageType("become_dask_request")
  public static let stopDistributedRequest = MessageType("stop_distributed_request")

  // after a controller's restart, among our own: a client says what it waits for, an engine what it has
  public static let resumeRequest = MessageType("resume_request")
  public static let resumeReply = MessageType("resume_reply")
  public static let tasksHeld = MessageType("tasks_held")
  /// To an engine: what followed from these replies is written.
  public static let repliesWritten = MessageType("replies_written")

  // the controller's log of events, for Apus's own clients
  public static let eventsRequest = MessageType("apus_events_request")
  public static let explainRequest = MessageType("apus_explain_request")

  // control
  public static let abortRequest = MessageType("abort_request")
  public static let clearRequest = MessageType("clear_request")
  public static let signalRequest = MessageType("signal_request")
  public static let interruptRequest = MessageType("interrupt_request")

  // output
  public static let status = MessageType("status")
  public static let stream = MessageType("stream")
  public static let executeInput = MessageType("execute_input")
  public static let executeResult = MessageType("execute_result")
  public static let displayData = MessageType("display_data")
  public static let updateDisplayData = MessageType("update_display_data")
  public static let error = MessageType("error")
  public static let dataMessage = MessageType("data_message")
  /// To a client of ours, when its subscriptions have arrived.
  public static let outputWelcome = MessageType("iopub_welcome")
}

extension MessageType: ExpressibleByStringLiteral {
  public init(stringLiteral value: String) { self.init(value) }
}
