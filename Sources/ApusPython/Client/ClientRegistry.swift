import ApusClient
import Transport

/// The clients of this process, by the numbers that Python knows them by.
enum ClientRegistry {
  private struct Contents {
    var clients: [Int: BlockingClient] = [:]
    var last = 0
  }

  private static let contents = Mutex(Contents())

  static func add(_ client: BlockingClient) -> Int {
    let handle = contents.withLock { contents in
      contents.last += 1
      contents.clients[contents.last] = client
      return contents.last
    }
    LentBuffer.notify(client.completions)
    return handle
  }

  static func client(_ handle: Int) -> BlockingClient? { contents.withLock { $0.clients[handle] } }

  /// Called when all events were taken. The sockets close with the last reference, and wait a moment for what is on its way: without the
  /// interpreter's lock, for other threads go on meanwhile.
  static func remove(_ handle: Int) {
    var client = contents.withLock { $0.clients.removeValue(forKey: handle) }
    guard let completions = client?.completions else { return }
    LentBuffer.forget(completions)
    Python.unlocked { client = nil }
  }

  /// In a forked child: the parent's sockets must not be touched. What they hold is leaked on purpose.
  static func abandon() {
    for client in contents.withLock({ contents in
      defer { contents.clients = [:] }
      return Array(contents.clients.values)
    }) {
      _ = Unmanaged.passRetained(client)
      LentBuffer.forget(client.completions)
    }
  }
}
