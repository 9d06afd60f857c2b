import ApusMessaging
import Transport

/// The request of a task: a message, or, of a task of the controller before that waits, what its journal has of it.
enum KeptRequest: Sendable {
  case message(Envelope)
  case stored(StoredRequest)
  /// The same of a client that has another identity now.
  case rerouted(StoredRequest, client: Frame)

  /// With the client's identities. Of a stored one it is made anew each time.
  var message: Envelope {
    switch self {
    case .message(let message): message
    case .stored(let stored): stored.message
    case .rerouted(let stored, let client): stored.message(from: client)
    }
  }

  /// Of the bytes of others, where it is there.
  var stored: StoredRequest? {
    switch self {
    case .message: nil
    case .stored(let stored), .rerouted(let stored, _): stored
    }
  }

  /// From now on as a message.
  mutating func open() {
    switch self {
    case .message: break
    case .stored, .rerouted: self = .message(message)
    }
  }

  /// As of `Envelope`.
  var byteCount: Int {
    switch self {
    case .message(let message): message.byteCount
    case .stored(let stored): stored.byteCount
    case .rerouted(let stored, let client): stored.byteCount - stored.identityBytes + client.count
    }
  }

  /// Who asks; `nil` where it says nothing of that.
  var client: Frame? {
    switch self {
    case .message(let message): message.identities.first
    case .stored(let stored): stored.client
    case .rerouted(_, let client): client
    }
  }

  func isFrom(_ client: Frame) -> Bool {
    switch self {
    case .message(let message): message.identities.first == client
    case .stored(let stored): stored.isFrom(client)
    case .rerouted(_, let now): now == client
    }
  }

  /// Its client has another identity now.
  mutating func reroute(to client: Frame) {
    if isFrom(client) { return }
    switch self {
    case .message(let message): self = .message(message.routed(to: [client]))
    case .stored(let stored), .rerouted(let stored, _): self = .rerouted(stored, client: client)
    }
  }

  /// Whether one of Apus's own clients asks: stock ones sign each message for everybody to see.
  var isOwn: Bool {
    let signature =
      switch self {
      case .message(let message): message.signature
      case .stored(let stored), .rerouted(let stored, _): stored.signature
      }
    return signature.isEmpty || Envelope.isSealed(signature)
  }

  /// Nothing.
  static let released = KeptRequest.message(
    Envelope(signature: .empty, header: .emptyObject, parentHeader: .emptyObject, metadata: .emptyObject, content: .emptyObject))
}
