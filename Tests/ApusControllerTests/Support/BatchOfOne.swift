import ApusMessaging
import Testing
import Transport

extension Envelope {
  /// A batch with this message alone.
  /// - Parameters:
  ///   - identity: of the client, behind that of the hop.
  ///   - scope: the hop.
  func batchOfOne(behind identity: Frame? = nil, _ signer: Signer, _ scope: MessageScope = .clientToScheduler) -> [Frame] {
    var writer = MessageBatchWriter()
    let isTaken = writer.append(identity, payload)
    #expect(isTaken)
    return writer.take(signedBy: signer, scope)
  }
}
