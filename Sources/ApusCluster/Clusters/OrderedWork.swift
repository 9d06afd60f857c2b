import ApusProcess
import Glibc
import Synchronization

/// Several things that keep us waiting, done at the same time, and told of one after the other.
public enum OrderedWork {
  /// Returns when all is done and told.
  /// - Parameters:
  ///   - count: how many things there are.
  ///   - width: so many of them at the same time, at most.
  ///   - tell: gets the messages on this thread, those of the first thing first; those of the one whose turn it is as they come.
  ///   - body: does one of them, on a thread of its own, and says what there is to say.
  public static func run<Message: Sendable>(
    _ count: Int, width: Int, tell: (Message) -> Void,
    _ body: @escaping @Sendable (Int, _ say: @escaping @Sendable (Message) -> Void) -> Void
  ) {
    let work = Work<Message>(count)
    var threads = 0
    for _ in 0..<min(width, count) where DetachedThread.start({ work.perform(body) }) == nil { threads += 1 }
    // Without threads it takes as long as it takes.
    if threads == 0 { work.perform(body) }
    for index in 0..<count {
      while true {
        let (messages, isDone) = work.take(index)
        for message in messages { tell(message) }
        if isDone { break }
        work.wait()
      }
    }
  }

  private final class Work<Message: Sendable>: Sendable {
    private struct Thing {
      var messages: [Message] = []
      var isDone = false
    }
    private struct State {
      var next = 0
      var things: [Thing]
    }
    private let state: Mutex<State>
    /// Readable when there is something to tell.
    private let descriptor: Int32
    private let writeEnd: Int32

    init(_ count: Int) {
      state = Mutex(State(things: Array(repeating: Thing(), count: count)))
      (descriptor, writeEnd) = (try? Pipe.open()) ?? (-1, -1)
    }

    deinit { for end in [descriptor, writeEnd] where end >= 0 { close(end) } }

    func perform(_ body: @Sendable (Int, _ say: @escaping @Sendable (Message) -> Void) -> Void) {
      while let index = begin() {
        body(index) { [self] message in note { $0.things[index].messages.append(message) } }
        note { $0.things[index].isDone = true }
      }
    }

    private func begin() -> Int? {
      state.withLock { state in
        guard state.next < state.things.count else { return nil }
        defer { state.next += 1 }
        return state.next
      }
    }

    private func note(_ change: (inout State) -> Void) {
      state.withLock { change(&$0) }
      var byte: UInt8 = 1
      // A pipe that is full says it already.
      _ = write(writeEnd, &byte, 1)
    }

    func take(_ index: Int) -> (messages: [Message], isDone: Bool) {
      state.withLock { state in
        defer { state.things[index].messages = [] }
        return (state.things[index].messages, state.things[index].isDone)
      }
    }

    func wait() {
      var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
      // Without a pipe, a look now and then must do.
      _ = poll(&descriptors, 1, descriptor < 0 ? 20 : -1)
      var bytes = [UInt8](repeating: 0, count: 256)
      if descriptors[0].revents != 0 { _ = read(descriptor, &bytes, bytes.count) }
    }
  }
}
