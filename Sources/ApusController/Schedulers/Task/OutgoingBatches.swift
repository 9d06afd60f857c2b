import ApusMessaging
import Transport

/// Messages of one turn for those who take batches, until the turn ends.
struct OutgoingBatches {
  enum Receiver: Hashable {
    case engine(EngineUUID)
    case client(Frame)

    var scope: MessageScope {
      switch self {
      case .engine: .schedulerToEngine
      case .client: .schedulerToClient
      }
    }
  }

  private struct Open {
    let receiver: Receiver
    var writer: MessageBatchWriter
  }

  /// Who takes batches. Clients come and go without a word: so many are remembered.
  private var engines: Set<EngineUUID> = []
  private var clients: Set<Frame> = []
  private static let clientLimit = 1024

  /// One for each receiver that something is collected for: a turn has few, and looking through them is quicker than hashing.
  private var open: [Open] = []
  /// Empty ones with their memory.
  private var spare: [MessageBatchWriter] = []
  private static let spareLimit = 4

  mutating func add(_ engine: EngineUUID) { engines.insert(engine) }
  mutating func remove(_ engine: EngineUUID) { engines.remove(engine) }

  mutating func add(client: Frame) {
    guard !clients.contains(client) else { return }
    if clients.count >= Self.clientLimit { clients.removeAll() }
    clients.insert(client)
  }

  /// What is to be done with a message.
  enum Place {
    /// It is in a batch, which waits for more.
    case collected
    /// It is in a batch, which has to leave now.
    case full([Frame])
    /// It travels alone, behind this batch if there is one.
    case alone(after: [Frame]?)
  }

  mutating func place(_ identity: Frame?, _ payload: ArraySlice<Frame>, for receiver: Receiver, _ signer: Signer) -> Place {
    if let index = open.firstIndex(where: { $0.receiver == receiver }) {
      if open[index].writer.append(identity, payload) {
        return open[index].writer.isFull ? .full(open[index].writer.take(signedBy: signer, receiver.scope)) : .collected
      }
      return .alone(after: open[index].writer.isEmpty ? nil : open[index].writer.take(signedBy: signer, receiver.scope))
    }
    guard takesBatches(receiver) else { return .alone(after: nil) }
    var writer = spare.popLast() ?? MessageBatchWriter()
    let isTaken = writer.append(identity, payload)
    open.append(Open(receiver: receiver, writer: writer))
    return isTaken ? .collected : .alone(after: nil)
  }

  /// Whether it is one of Apus's own.
  func takesBatches(_ receiver: Receiver) -> Bool {
    switch receiver {
    case .engine(let uuid): engines.contains(uuid)
    case .client(let client): clients.contains(client)
    }
  }

  /// One of those that wait; `nil` when none is left.
  mutating func next(signedBy signer: Signer) -> (receiver: Receiver, batch: [Frame])? {
    while var last = open.popLast() {
      defer { if spare.count < Self.spareLimit { spare.append(last.writer) } }
      if !last.writer.isEmpty { return (last.receiver, last.writer.take(signedBy: signer, last.receiver.scope)) }
    }
    return nil
  }
}
