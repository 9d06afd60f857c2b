import Apus

// The program of the README.

distributed actor Library: RemoteTask {
  private var texts = 0

  distributed func count(_ text: String) -> [String: Int] {
    texts += 1
    return Dictionary(text.split(separator: " ").map { (String($0), 1) }, uniquingKeysWith: +)
  }

  distributed func textsSeen() -> Int { texts }
}

struct Tour: ClusterProgram {
  static func run(_ client: Client) async throws {
    let view = client.loadBalancedView()
    print(try await view.map(0..<10) { $0 * $0 })
    print(try await view.map(["to be", "or not", "to be"], on: Library.self) { try await $0.count($1) })
    print(try await client.directView().onAll(Library.self) { try await $0.textsSeen() })
  }
}
