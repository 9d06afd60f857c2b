import ApusMessaging
import DequeModule
import Logging
import Transport

/// The side of a relay that faces engines: a ROUTER that does not lose a message for an engine whose connection is still being made.
///
/// An engine is registered as soon as its heart beats, which may be before this socket has seen it. libzmq would drop the message
/// silently; here it waits until the engine connects or is lost.
struct EngineSocket: ~Copyable {
  let socket: Socket
  private var parked: [Frame: Deque<[Frame]>] = [:]
  private var known: Set<Frame> = []
  private var own: Set<Frame> = []
  private var names: [EngineUUID: Frame] = [:]
  private var uuids: [Frame: EngineUUID] = [:]

  /// - Parameter router: with its identity, not bound yet. An identity is never handed over to a second connection: an engine that comes
  ///   back finds its place free as soon as its dead connection was noticed.
  init(_ router: consuming Socket) throws(ZeroMQError) {
    try router.set(.routerMandatory, 1)
    socket = router
  }

  /// Whether `deliverParked` is to be called soon.
  var hasParked: Bool { !parked.isEmpty }

  /// - Parameter isOwn: it is one of Apus's, and reads seals.
  mutating func engineRegistered(_ uuid: EngineUUID, isOwn: Bool = false) {
    let identity = name(of: uuid)
    known.insert(identity)
    if isOwn { own.insert(identity) } else { own.remove(identity) }
  }

  func isOwn(_ identity: Frame) -> Bool { own.contains(identity) }

  /// What is parked for the engine is dropped: whoever asked learns of the loss in other ways.
  mutating func engineLost(_ uuid: EngineUUID) {
    let identity = name(of: uuid)
    known.remove(identity)
    own.remove(identity)
    parked[identity] = nil
    names[uuid] = nil
    uuids[identity] = nil
  }

  mutating func send(to uuid: EngineUUID, _ second: Frame?, _ rest: ArraySlice<Frame>) { send(to: name(of: uuid), second, rest) }

  /// - Parameter second: an identity between the engine's and the rest.
  mutating func send(to identity: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>) {
    if parked.isEmpty || parked[identity] == nil, deliver(to: identity, second, rest) { return }
    // Frames for an identity that never registered go nowhere, as in ipyparallel.
    guard known.contains(identity) else { return }
    parked[identity, default: []].append((second.map { [$0] } ?? []) + rest)
  }

  /// Tries again what is parked.
  mutating func deliverParked() {
    for identity in Array(parked.keys) {
      while let message = parked[identity]?.first, deliver(to: identity, nil, message[...]) { parked[identity]?.removeFirst() }
      if parked[identity]?.isEmpty == true { parked[identity] = nil }
    }
  }

  /// The uuid that an identity spells; cached, for it comes with every reply.
  mutating func uuid(of identity: Frame) -> EngineUUID {
    if let uuid = uuids[identity] { return uuid }
    let uuid = EngineUUID(identity.text)
    if known.contains(identity) { uuids[identity] = uuid }
    return uuid
  }

  private mutating func name(of uuid: EngineUUID) -> Frame {
    if let frame = names[uuid] { return frame }
    let frame = Frame(uuid.text)
    names[uuid] = frame
    return frame
  }

  /// - Returns: false if the engine is not connected.
  private func deliver(to identity: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>) -> Bool {
    do {
      try socket.send(identity, second, rest)
      return true
    } catch { return !error.isUnreachable }
  }
}
