import ApusMessaging
import Logging
import Transport

/// The side of a relay that faces engines: a ROUTER that does not lose a message for an engine whose connection is still being made.
///
/// An engine is registered as soon as its heart beats, which may be before this socket has seen it. libzmq would drop the message
/// silently; here it waits until the engine connects or is lost. So does what an engine does not read, within the bounds of `BoundedRouter`.
struct EngineSocket: ~Copyable {
  private var router: BoundedRouter
  private var known: Set<Frame> = []
  private var own: Set<Frame> = []
  /// Engines that had a line when they came. It brings them all that has an order, from the first message on.
  private var lined: Set<Frame> = []
  private var names: [EngineUUID: Frame] = [:]
  private var uuids: [Frame: EngineUUID] = [:]

  /// - Parameter router: with its identity, not bound yet. An identity is never handed over to a second connection: an engine that comes
  ///   back finds its place free as soon as its dead connection was noticed.
  init(_ router: consuming Socket, spoolDirectory: String, logger: Logger) throws(ZeroMQError) {
    self.router = try BoundedRouter(router, facing: .engines, spoolDirectory: spoolDirectory, logger: logger)
  }

  var socket: Socket { _read { yield router.socket } }
  /// Of own engines on this host.
  var side: LineSide? {
    get { router.side }
    set { router.side = newValue }
  }
  /// Whether `deliverWaiting` is to be called soon.
  var hasWaiting: Bool { router.hasWaiting }

  /// - Parameter isOwn: it is one of Apus's, and reads seals.
  mutating func engineRegistered(_ uuid: EngineUUID, isOwn: Bool = false) {
    let identity = name(of: uuid)
    known.insert(identity)
    if isOwn { own.insert(identity) } else { own.remove(identity) }
    if isOwn { side?.lines.welcomeWaiting() }
    if isOwn, side?.lines.hasLine(engine: identity) ?? false { lined.insert(identity) } else { lined.remove(identity) }
  }

  /// Whether it is that of an engine which is registered.
  func isKnown(_ identity: Frame) -> Bool { known.contains(identity) }
  func isOwn(_ identity: Frame) -> Bool { own.contains(identity) }

  /// What waits for the engine is dropped: whoever asked learns of the loss in other ways.
  mutating func engineLost(_ uuid: EngineUUID) {
    let identity = name(of: uuid)
    known.remove(identity)
    own.remove(identity)
    lined.remove(identity)
    router.forget(identity)
    names[uuid] = nil
    uuids[identity] = nil
  }

  mutating func send(to uuid: EngineUUID, _ second: Frame?, _ rest: ArraySlice<Frame>, inOrderOfLine: Bool = false) {
    send(to: name(of: uuid), second, rest, inOrderOfLine: inOrderOfLine)
  }

  /// - Parameters:
  ///   - second: an identity between the engine's and the rest.
  ///   - inOrderOfLine: it came by a client's line, as all that this client asks of engines does. So each client's requests reach an engine
  ///     in their order: all by lines, or all by libzmq.
  mutating func send(to identity: Frame, _ second: Frame?, _ rest: ArraySlice<Frame>, inOrderOfLine: Bool = false) {
    // Frames for an identity that never registered go nowhere, as in ipyparallel.
    router.send(
      identity, second, rest, isExpected: known.contains(identity), byLine: inOrderOfLine && lined.contains(identity))
  }

  /// Tries again what waits.
  mutating func deliverWaiting() { router.deliverWaiting() }

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
}
