import Synchronization

/// Whether a socket may have input that its descriptor does not tell of.
///
/// The descriptor of a socket (ZMQ_FD) becomes readable once for news of any kind, and every call on the socket may take the
/// news: a send, a connect. Up while such a call came after the last look at the socket found nothing.
final class ConsumedEdge: Sendable {
  // A socket has one owner at a time, and its owners' hand-overs are full fences: relaxed is enough.
  private let flag = Atomic<Bool>(true)
  var isRaised: Bool { flag.load(ordering: .relaxed) }
  func raise() { flag.store(true, ordering: .relaxed) }
  func lower() { flag.store(false, ordering: .relaxed) }
}
