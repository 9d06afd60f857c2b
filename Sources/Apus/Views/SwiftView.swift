public import ApusClient
import ApusMessaging
import ApusTasks
import ApusValues
import Transport

/// What all views can do with Swift tasks. Not for conforming to: the three views of `ApusClient` do.
public protocol SwiftView: EngineView {
  /// The same view of Swift engines only, for a cluster that also has others.
  /// - Throws: `ClientError`: `noEngines`.
  func ofSwiftEngines() throws(ClientError) -> Self
}

extension SwiftView {
  func submission(_ call: EncodedCall, label: String? = nil) -> TaskSubmission {
    TaskSubmission(.applyRequest, metadata: MessagePackCodec.metadata, buffers: call.buffers, label: label)
  }
}

/// Errors of a Swift task as themselves, where this program knows their type.
func typed(_ error: any Error) -> any Error { (error as? RemoteError)?.thrownValue ?? error }

extension Client {
  /// Whether there are engines that Swift tasks must keep away from.
  var isMixed: Bool { engines.contains { $0.kind != .swift } }
}

extension LoadBalancedView: SwiftView {
  public func ofSwiftEngines() throws(ClientError) -> LoadBalancedView {
    // Without engines the tasks wait for some; with targets the caller has chosen.
    guard targets == nil, client.isMixed else { return self }
    var view = self
    try view.setTargets(.kind(.swift))
    return view
  }
}

extension DirectView: SwiftView {
  public func ofSwiftEngines() throws(ClientError) -> DirectView {
    guard targets == .all, client.isMixed else { return self }
    var view = self
    view.targets = .kind(.swift)
    return view
  }
}

extension BroadcastView: SwiftView {
  public func ofSwiftEngines() throws(ClientError) -> BroadcastView {
    guard targets == .all, client.isMixed else { return self }
    var view = self
    view.targets = .kind(.swift)
    return view
  }
}
