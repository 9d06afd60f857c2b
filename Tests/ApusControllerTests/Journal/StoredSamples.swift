import ApusMessaging
import Testing
import Transport

@testable import ApusController

extension StoredRequest {
  /// Takes them as a journal has them, where each frame that is in the same place of the one before is left out.
  static func samples(_ messages: [Envelope], limit: Int = 1 << 30) -> [StoredRequest] {
    var writer = StoredRequests.Writer(limit: limit)
    var stored: [StoredRequest?] = []
    var former: [Frame] = []
    for message in messages {
      writer.begin()
      for (index, frame) in message.frames.enumerated() {
        if index < former.count, former[index] == frame {
          let isThere = writer.repeatFrame()
          #expect(isThere)
        } else {
          frame.withUnsafeBytes { writer.append($0) }
        }
      }
      stored.append(writer.end())
      former = message.frames
    }
    writer.finish()
    return stored.compactMap { $0 }
  }
}
