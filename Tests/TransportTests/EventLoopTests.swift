import CZeroMQ
import Synchronization
import TestSupport
import Testing

@testable import Transport

@Suite("Event loop")
struct EventLoopTests {
  /// A loop for the time of a test.
  private func withLoop<R>(_ body: (EventLoop) async throws -> R) async throws -> R {
    let loop = EventLoop(name: "test")
    loop.start()
    defer {
      loop.stop()
      loop.join()
    }
    return try await body(loop)
  }

  // MARK: work

  @Test("work of one sender runs in its order, on the loop's thread")
  func order() async throws {
    try await withLoop { loop in
      let record = Record<Int>()
      let elsewhere = Record<Int>()
      for number in 0..<2000 {
        loop.execute {
          record.add(number)
          if !loop.isOnLoop { elsewhere.add(number) }
        }
      }
      await loop.settle()
      #expect(record.all == Array(0..<2000))
      #expect(elsewhere.all.isEmpty)
      #expect(!loop.isOnLoop)
    }
  }

  @Test("work that work brings runs after what was there")
  func nested() async throws {
    try await withLoop { loop in
      let record = Record<String>()
      await withCheckedContinuation { done in
        loop.execute {
          loop.execute {
            record.add("inner")
            done.resume()
          }
          loop.execute { record.add("inner too") }
          record.add("outer")
        }
      }
      await loop.settle()
      #expect(record.all == ["outer", "inner", "inner too"])
    }
  }

  @Test("no wake-up is lost between senders and a loop that falls asleep again and again")
  func wakeUps() async throws {
    try await withLoop { loop in
      let record = Record<Int>()
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<4 {
          group.addTask {
            for number in 0..<1000 {
              loop.execute { record.add(number) }
              // Let the loop sleep from time to time.
              if number % 50 == 0 { await loop.settle() }
            }
          }
        }
      }
      await loop.settle()
      #expect(record.count == 4000)
    }
  }

  // MARK: actors

  private actor Party {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private(set) var seen: [String] = []
    private let pull: Socket

    init(loop: EventLoop, pull: consuming Socket) {
      self.loop = loop
      self.pull = pull
    }

    func start() {
      loop.whenReadable(pull) { [unowned self] in self.assumeIsolated { $0.isReadable() } }
    }

    private func isReadable() {
      while let parts = try? pull.receive() { seen.append(parts.map(\.text).joined()) }
    }

    func isAtHome() async -> Bool {
      guard loop.isOnLoop else { return false }
      try? await Task.sleep(for: .milliseconds(1))
      return loop.isOnLoop
    }
  }

  @Test("an actor lives on its loop: calls, and handlers that assume so")
  func actors() async throws {
    try await withLoop { loop in
      let context = try Context()
      let pull = try Socket(.pull, in: context)
      let push = try Socket(.push, in: context)
      try push.connect(try pull.bind("inproc://\(uniqueName())"))
      let party = Party(loop: loop, pull: pull)
      await party.start()
      #expect(await party.isAtHome())
      for number in 0..<100 { try push.send([Frame("\(number)")]) }
      var seen: [String] = []
      for _ in 0..<5000 * patience where seen.count < 100 {
        seen = await party.seen
        if seen.count < 100 { try await Task.sleep(for: .milliseconds(1)) }
      }
      #expect(seen == (0..<100).map(String.init))
      // The handlers hold the actor unowned: they have to go before it.
      loop.stop()
      loop.join()
    }
  }

  // MARK: timers

  @Test("timers run by deadline, equal ones by age, none early, cancelled ones never")
  func timers() async throws {
    try await withLoop { loop in
      let record = Record<String>()
      let early = Record<String>()
      await withCheckedContinuation { done in
        loop.execute {
          let now = ContinuousClock.now
          func set(_ name: String, _ milliseconds: Int) -> EventLoop.TimerID {
            let deadline = now + .milliseconds(milliseconds)
            return loop.schedule(at: deadline) {
              record.add(name)
              if ContinuousClock.now < deadline { early.add(name) }
            }
          }
          _ = set("c", 12)
          let cancelled = set("never", 8)
          _ = set("a", 4)
          _ = set("b1", 8)
          _ = set("b2", 8)
          _ = set("past", -5)
          let cancelledByTimer = set("never, too", 10)
          loop.schedule(at: now + .milliseconds(9)) { loop.cancel(cancelledByTimer) }
          loop.schedule(at: now + .milliseconds(20)) { done.resume() }
          loop.cancel(cancelled)
          loop.cancel(cancelled)
        }
      }
      #expect(record.all == ["past", "a", "b1", "b2", "c"])
      #expect(early.all.isEmpty)
    }
  }

  @Test("a timer may set the next one, at once")
  func chainedTimers() async throws {
    try await withLoop { loop in
      let chain = Chain(loop: loop, limit: 20)
      await withCheckedContinuation { done in chain.run { done.resume() } }
      #expect(chain.fired == 20)
    }
  }

  private final class Chain: Sendable {
    private let loop: EventLoop
    private let counter = Atomic<Int>(0)
    private let limit: Int
    var fired: Int { counter.load(ordering: .relaxed) }

    init(loop: EventLoop, limit: Int) {
      self.loop = loop
      self.limit = limit
    }

    func run(_ done: @escaping @Sendable () -> Void) {
      loop.execute { self.next(done) }
    }

    private func next(_ done: @escaping @Sendable () -> Void) {
      if counter.load(ordering: .relaxed) == limit { return done() }
      loop.schedule(after: .zero) {
        self.counter.add(1, ordering: .relaxed)
        self.next(done)
      }
    }
  }

  @Test("a socket that is always readable starves neither timers nor work nor other sockets")
  func fairness() async throws {
    let context = try Context()
    let push = try Socket(.push, in: context)
    let pull = try Socket(.pull, in: context)
    let otherPush = try Socket(.push, in: context)
    let otherPull = try Socket(.pull, in: context)
    try push.connect(try pull.bind("inproc://\(uniqueName())"))
    try otherPush.connect(try otherPull.bind("inproc://\(uniqueName())"))
    try push.send([Frame("never read")])
    try otherPush.send([Frame("never read either")])
    let loop = EventLoop(name: "busy")
    let calls = (Record<Int>(), Record<Int>(), Record<Int>())
    loop.whenReadable(pull) { calls.0.add(0) }
    loop.whenReadable(otherPull) { calls.1.add(0) }
    loop.schedule(after: .milliseconds(2)) { calls.2.add(0) }
    loop.start()
    await loop.settle()
    #expect(await eventually { calls.0.count > 10 && calls.1.count > 10 && calls.2.count == 1 })
    loop.stop()
    loop.join()
  }

  // MARK: readers

  @Test("a handler may forget itself, another before it, another after it; and add one")
  func forgetting() async throws {
    let context = try Context()
    let name = uniqueName()
    let push0 = try Socket(.push, in: context)
    let pull0 = try Socket(.pull, in: context)
    let push1 = try Socket(.push, in: context)
    let pull1 = try Socket(.pull, in: context)
    let push2 = try Socket(.push, in: context)
    let pull2 = try Socket(.pull, in: context)
    try push0.connect(try pull0.bind("inproc://\(name)0"))
    try push1.connect(try pull1.bind("inproc://\(name)1"))
    try push2.connect(try pull2.bind("inproc://\(name)2"))
    try push0.send([Frame("0")])
    try push1.send([Frame("1")])
    try push2.send([Frame("2")])
    let loop = EventLoop(name: "forgetful")
    let calls = Record<Int>()
    let readers = Mutex<[EventLoop.ReaderID]>([])
    let descriptor = apus_eventfd()
    defer { close(descriptor) }
    eventfd_write(descriptor, 1)
    // Nobody reads: all three stay readable for as long as they are watched.
    let r0 = loop.whenReadable(pull0) { calls.add(0) }
    let r1 = loop.whenReadable(pull1) {
      calls.add(1)
      for reader in readers.withLock({ $0 }) { loop.forget(reader) }
      loop.whenReadable(descriptor: descriptor) {
        calls.add(9)
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
      }
    }
    let r2 = loop.whenReadable(pull2) { calls.add(2) }
    readers.withLock { $0 = [r0, r1, r2, r2] }
    loop.start()
    #expect(await eventually { calls.all.contains(9) })
    for _ in 0..<10 { await loop.settle() }
    #expect(calls.all == [0, 1, 9])
    loop.stop()
    loop.join()
  }

  @Test("a socket that is forgotten may be closed while the loop goes on")
  func closing() async throws {
    try await withLoop { loop in
      let context = try Context()
      for _ in 0..<20 {
        let push = try Socket(.push, in: context)
        let pull = try Socket(.pull, in: context)
        try push.connect(try pull.bind("inproc://\(uniqueName())"))
        let party = Box(pull)
        let counter = Counter()
        let reader = await loop.on { loop.whenReadable(party.socket) { counter.add(party) } }
        try push.send([Frame("x")])
        #expect(await eventually { counter.value == 1 })
        await loop.on { loop.forget(reader) }
      }
    }
  }

  @Test("news that another call on a watched socket took in are not lost")
  func takenNews() async throws {
    try await withLoop { loop in
      let context = try Context()
      let push = Box(try Socket(.push, in: context))
      let pull = Box(try Socket(.pull, in: context))
      try push.socket.connect(try pull.socket.bind("inproc://\(uniqueName())"))
      let counter = Counter()
      let reader = await loop.on { loop.whenReadable(pull.socket) { counter.add(pull) } }
      for number in 1...100 {
        let isThere = await loop.on {
          try? push.socket.send([Frame("x")])
          // Reads the descriptor: from now on it is silent about the message.
          return (try? pull.socket.waitReadable(milliseconds: 5000 * patience)) ?? false
        }
        #expect(isThere)
        #expect(await eventually { counter.value == number })
      }
      await loop.on { loop.forget(reader) }
    }
  }

  private final class Box: @unchecked Sendable {
    let socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
  }

  private final class Counter: Sendable {
    private let count = Atomic<Int>(0)
    var value: Int { count.load(ordering: .relaxed) }
    func add(_ box: Box) { if (try? box.socket.receive()) != nil { count.add(1, ordering: .relaxed) } }
  }

  // MARK: the end

  @Test("stopping does the work that is there; then the thread ends and everything is let go")
  func stopping() async {
    weak var weakLoop: EventLoop?
    let record = Record<Int>()
    weak var weakToken: Record<Int>?
    do {
      let loop = EventLoop(name: "ending")
      weakLoop = loop
      let token = Record<Int>()
      weakToken = token
      let descriptor = apus_eventfd()
      defer { close(descriptor) }
      loop.whenReadable(descriptor: descriptor) { token.add(1) }
      loop.schedule(after: .seconds(3600)) { token.add(2) }
      for number in 0..<500 { loop.execute { record.add(number) } }
      loop.start()
      loop.stop()
      loop.join()
      // A second time is harmless.
      loop.stop()
      loop.join()
      #expect(record.all == Array(0..<500))
      #expect(token.count == 0)
    }
    #expect(weakLoop == nil)
    #expect(weakToken == nil)
  }

  @Test("work that a stopping loop's work brings is done as well")
  func stoppingWithMore() async {
    let loop = EventLoop(name: "ending")
    let record = Record<String>()
    loop.execute {
      loop.stop()
      loop.execute {
        record.add("more")
        loop.execute { record.add("even more") }
      }
    }
    loop.start()
    loop.join()
    #expect(record.all == ["more", "even more"])
  }

  @Test("many loops at once")
  func many() async throws {
    let record = Record<Int>()
    let loops = (0..<16).map { EventLoop(name: "loop \($0) with a name that is too long") }
    for (number, loop) in loops.enumerated() {
      loop.start()
      loop.execute { record.add(number) }
    }
    for loop in loops { await loop.settle() }
    for loop in loops { loop.stop() }
    for loop in loops { loop.join() }
    #expect(record.all.sorted() == Array(0..<16))
  }
}
