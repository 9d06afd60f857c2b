import Glibc
import Synchronization
import Testing

@testable import Transport

/// Each with a pause of its own: the loops of other tests go on.
@Suite("Pauses for forks") struct ForkPauseTests {
  private let pause = ForkPause()

  /// Runs on a thread of its own, which may be the one that waits.
  private func onThread<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    await withCheckedContinuation { done in
      let work = Unmanaged.passRetained(Work { done.resume(returning: body()) })
      var thread = pthread_t()
      let failure = pthread_create(
        &thread, nil,
        { raw in
          if let raw { Unmanaged<Work>.fromOpaque(raw).takeRetainedValue().body() }
          return nil
        }, work.toOpaque())
      precondition(failure == 0)
      pthread_detach(thread)
    }
  }

  private final class Work: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private final class Count: Sendable {
    private let atomic = Atomic<Int>(0)
    var value: Int { atomic.load(ordering: .sequentiallyConsistent) }
    @discardableResult func add(_ number: Int) -> Int { atomic.add(number, ordering: .sequentiallyConsistent).newValue }
  }

  private func started(_ name: String) -> EventLoop {
    let loop = EventLoop(name: name, pause: pause)
    loop.start()
    return loop
  }

  @Test("a loop does nothing while it stands still, and all of it afterwards") func standing() async {
    let loop = started("standing")
    let count = Count()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        let (before, after) = await self.onThread { () -> (Int, Int) in
          pause.begin()
          defer { pause.end() }
          let before = count.value
          for _ in 0..<100 { loop.execute { count.add(1) } }
          // Nested, as when two libraries ask for it.
          pause.begin()
          pause.end()
          usleep(20_000)
          return (before, count.value)
        }
        #expect(before == after)
      }
    }
    await loop.settle()
    #expect(count.value == 100)
    loop.stop()
    loop.join()
  }

  @Test("threads that fork at once come one after another") func turns() async {
    let loops = (0..<3).map { started("turns-\($0)") }
    let inside = Count()
    let overlaps = Count()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          await self.onThread {
            for _ in 0..<50 {
              pause.begin()
              if inside.add(1) > 1 { overlaps.add(1) }
              inside.add(-1)
              pause.end()
            }
          }
        }
      }
    }
    #expect(overlaps.value == 0)
    for loop in loops {
      await loop.settle()
      loop.stop()
      loop.join()
    }
  }

  @Test("loops begin and end meanwhile") func lives() async {
    let over = Count()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for index in 0..<200 {
          let loop = self.started("lives-\(index)")
          loop.execute { loop.schedule(after: .zero) {} }
          loop.stop()
          await self.onThread { loop.join() }
        }
        over.add(1)
      }
      group.addTask {
        await self.onThread {
          while over.value == 0 {
            pause.begin()
            pause.end()
          }
        }
      }
    }
  }

  @Test("a loop that has ended, and the loop that forks itself, are not waited for") func exceptions() async {
    let ended = started("ended")
    ended.stop()
    await onThread { ended.join() }
    #expect(ended.requestHold() == nil)
    let loop = started("own")
    let other = started("other")
    let count = Count()
    let pair = await loop.on { () -> (Int, Int) in
      pause.begin()
      defer { pause.end() }
      let before = count.value
      other.execute { count.add(1) }
      usleep(20_000)
      return (before, count.value)
    }
    #expect(pair == (0, 0))
    await other.settle()
    #expect(count.value == 1)
    for loop in [loop, other] {
      loop.stop()
      loop.join()
    }
  }

  @Test("a loop that is busy is left to it, and does not stop later") func busy() async {
    let loop = started("busy")
    let free = Count()
    loop.execute { while free.value == 0 { usleep(1000) } }
    await onThread {
      pause.begin()
      pause.end()
    }
    free.add(1)
    await loop.settle()
    loop.stop()
    loop.join()
  }
}
