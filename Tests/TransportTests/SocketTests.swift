import CZeroMQ
import TestSupport
import Testing

@testable import Transport

@Suite("Sockets")
struct SocketTests {
  let context: Context

  init() throws { context = try Context() }

  @Test("a message arrives whole, in order, with all its parts")
  func multiPart() throws {
    let router = try Socket(.router, in: context)
    let dealer = try Socket(.dealer, in: context)
    try dealer.set(.identity, Array("me".utf8))
    try dealer.connect(try router.bind("tcp://127.0.0.1:*"))
    for number in 0..<200 {
      try dealer.send(Frame("\(number)"), nil, (0..<number % 9).map { Frame([UInt8](repeating: UInt8($0), count: $0 * 100)) }[...])
    }
    for number in 0..<200 {
      let parts = try #require(try router.next())
      #expect(parts.count == 2 + number % 9)
      #expect(parts[0].text == "me")
      #expect(parts[1].text == "\(number)")
      for (index, part) in parts[2...].enumerated() { #expect(part.count == index * 100) }
    }
  }

  @Test("every form of sending: one before, two before, an array, a slice of a longer one")
  func sendingForms() throws {
    let push = try Socket(.push, in: context)
    let pull = try Socket(.pull, in: context)
    try push.connect(try pull.bind("inproc://\(uniqueName())"))
    let frames = ["a", "b", "c", "d"].map { Frame($0) }
    try push.send(frames)
    try push.send(frames[0], nil, frames[1...])
    try push.send(frames[0], frames[1], frames[2...])
    try push.send(nil, frames[1], frames[3...])
    try push.send(frames[0], nil, [])
    try push.send(frames[0], frames[3], [])
    try push.send([])
    try push.send([.empty])
    for expected in [["a", "b", "c", "d"], ["a", "b", "c", "d"], ["a", "b", "c", "d"], ["b", "d"], ["a"], ["a", "d"], [""]] {
      let message = try #require(try pull.next())
      #expect(message.map(\.text) == expected)
    }
    let more = try pull.receive()
    #expect(more == nil)
  }

  @Test("nothing to receive is nil, and waiting for it ends")
  func nothingThere() throws {
    let pull = try Socket(.pull, in: context)
    try pull.bind("inproc://\(uniqueName())")
    let message = try pull.receive()
    #expect(message == nil)
    let isReadable = try pull.waitReadable(milliseconds: 1)
    #expect(!isReadable)
  }

  @Test("a mandatory router says who is unreachable, and goes on working")
  func unreachable() throws {
    let router = try Socket(.router, in: context)
    try router.set(.routerMandatory, 1)
    let dealer = try Socket(.dealer, in: context)
    try dealer.set(.identity, Array("here".utf8))
    try dealer.connect(try router.bind("tcp://127.0.0.1:*"))
    try dealer.send([Frame("hello")])
    _ = try #require(try router.next())
    #expect {
      try router.send([Frame("gone"), Frame("x"), Frame("y")])
    } throws: { ($0 as? ZeroMQError)?.isUnreachable == true }
    // No part of the refused message leaks into the next.
    try router.send([Frame("here"), Frame("z")])
    let parts = try #require(try dealer.next())
    #expect(parts.map(\.text) == ["z"])
  }

  @Test("a router that is not mandatory drops what nobody can have")
  func dropped() throws {
    let router = try Socket(.router, in: context)
    try router.bind("inproc://\(uniqueName())")
    try router.send([Frame("gone"), Frame("x")])
  }

  @Test("an endpoint in use is an error that says so")
  func addressInUse() throws {
    let first = try Socket(.router, in: context)
    let second = try Socket(.router, in: context)
    let endpoint = try first.bind("tcp://127.0.0.1:*")
    #expect(endpoint.hasPrefix("tcp://127.0.0.1:"))
    #expect {
      try second.bind(endpoint)
    } throws: {
      guard let error = $0 as? ZeroMQError else { return false }
      return error.isAddressInUse && error.description.contains(endpoint)
    }
    try first.unbind(endpoint)
    // The I/O thread closes the listener in its own time.
    var isFree = false
    for _ in 0..<1000 * patience where !isFree {
      isFree = (try? second.bind(endpoint)) != nil
      if !isFree { usleep(1000) }
    }
    #expect(isFree)
  }

  @Test(
    "endpoints and options that make no sense are errors",
    arguments: ["tcp://127.0.0.1:port", "nonsense", "ftp://x", "tcp://256.1.1.1.1:1"])
  func nonsense(endpoint: String) throws {
    let socket = try Socket(.dealer, in: context)
    #expect(throws: ZeroMQError.self) { try socket.bind(endpoint) }
    #expect(throws: ZeroMQError.self) { try socket.set(.identity, [UInt8](repeating: 1, count: 300)) }
    #expect(throws: ZeroMQError.self) { try socket.set(.curveServerKey, "short") }
  }

  @Test("publishing: topics are prefixes; an XPUB hears of subscriptions")
  func publishing() throws {
    let publisher = try Socket(.xpub, in: context)
    let subscriber = try Socket(.sub, in: context)
    try subscriber.set(.subscribe, Array("engine.1".utf8))
    try subscriber.connect(try publisher.bind("tcp://127.0.0.1:*"))
    let subscription = try #require(try publisher.next())
    #expect(subscription.map(\.bytes) == [[1] + Array("engine.1".utf8)])
    try publisher.send([Frame("engine.2.stdout"), Frame("no")])
    try publisher.send([Frame("engine.1.stdout"), Frame("yes")])
    let message = try #require(try subscriber.next())
    #expect(message.map(\.text) == ["engine.1.stdout", "yes"])
  }

  @Test("a newcomer takes over an identity where that is allowed")
  func handover() throws {
    let router = try Socket(.router, in: context)
    try router.set(.routerHandover, 1)
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    let old = try Socket(.dealer, in: context)
    let new = try Socket(.dealer, in: context)
    try old.set(.identity, Array("e".utf8))
    try new.set(.identity, Array("e".utf8))
    try old.connect(endpoint)
    try old.send([Frame("old")])
    #expect(try router.next()?.last?.text == "old")
    try new.connect(endpoint)
    try new.send([Frame("new")])
    #expect(try router.next()?.last?.text == "new")
    try router.send([Frame("e"), Frame("for the new one")])
    #expect(try new.next()?.last?.text == "for the new one")
  }

  @Test("waiting for a socket or a descriptor")
  func waitingForEither() throws {
    let push = try Socket(.push, in: context)
    let pull = try Socket(.pull, in: context)
    try push.connect(try pull.bind("inproc://\(uniqueName())"))
    let descriptor = apus_eventfd()
    defer { close(descriptor) }
    #expect(try pull.waitReadable(or: descriptor, milliseconds: 1) == false)
    eventfd_write(descriptor, 1)
    #expect(try pull.waitReadable(or: descriptor, milliseconds: 5000 * patience))
    var count: eventfd_t = 0
    eventfd_read(descriptor, &count)
    try push.send([Frame("x")])
    #expect(try pull.waitReadable(or: descriptor, milliseconds: 5000 * patience))
    #expect(try pull.receive()?.count == 1)
    #expect(pull.pollDescriptor >= 0)
  }
}

@Suite("CURVE")
struct CurveTests {
  let context: Context
  let serverKeys: CurveKeyPair
  let clientKeys: CurveKeyPair

  init() throws {
    context = try Context()
    serverKeys = try .generate()
    clientKeys = try .generate()
  }

  @Test("keys: 40 characters each, and the public one follows from the secret one")
  func keys() throws {
    #expect(serverKeys.publicKey.utf8.count == 40)
    #expect(serverKeys.secretKey.utf8.count == 40)
    #expect(serverKeys != clientKeys)
    #expect(try CurveKeyPair.publicKey(of: serverKeys.secretKey) == serverKeys.publicKey)
    #expect(throws: ZeroMQError.self) { try CurveKeyPair.publicKey(of: "short") }
  }

  @Test("who knows the server's key gets through")
  func roundTrip() throws {
    let router = try Socket(.router, in: context)
    try router.serveCurve(serverKeys)
    let dealer = try Socket(.dealer, in: context)
    try dealer.useCurve(clientKeys, server: serverKeys.publicKey)
    try dealer.connect(try router.bind("tcp://127.0.0.1:*"))
    try dealer.send([Frame("secret"), Frame([UInt8](repeating: 7, count: 50_000))])
    let parts = try #require(try router.next())
    #expect(parts[1].text == "secret")
    try router.send([parts[0], Frame("answer")])
    #expect(try dealer.next()?.first?.text == "answer")
  }

  @Test("a plain client, and one with another server's key, get nothing")
  func refused() throws {
    let router = try Socket(.router, in: context)
    try router.serveCurve(serverKeys)
    let endpoint = try router.bind("tcp://127.0.0.1:*")
    let plain = try Socket(.dealer, in: context)
    try plain.connect(endpoint)
    try plain.send([Frame("plain")])
    let mistaken = try Socket(.dealer, in: context)
    try mistaken.useCurve(clientKeys, server: clientKeys.publicKey)
    try mistaken.connect(endpoint)
    try mistaken.send([Frame("mistaken")])
    let right = try Socket(.dealer, in: context)
    try right.useCurve(clientKeys, server: serverKeys.publicKey)
    try right.connect(endpoint)
    try right.send([Frame("right")])
    #expect(try router.next()?.last?.text == "right")
    #expect(try router.next(within: 50) == nil)
  }
}
