import Apus
import Glibc

/// Counts words on an engine.
distributed actor WordCounter: RemoteTask {
  distributed func count(_ text: String) -> [String: Int] { Words.count(text) }
}

/// Counts the words of a text here, with its parts divided among all engines, and with parts for whichever engine is free; compares the
/// three, and prints what each took.
///
///     swift run -c release WordCount FILE [--engines N] [--json]
@main struct WordCount: ClusterProgram {
  static let help = """
    Usage: WordCount FILE [--json] [cluster options]

    Counts the words of a text serially, divided among all engines, and balanced over them.
      --json                 one JSON object instead of a table
    """

  static func run(_ client: Client) async throws {
    let isJSON = arguments.contains("--json")
    let files = arguments.filter { !$0.hasPrefix("-") }
    guard let path = files.first, files.count == 1, let text = read(path) else {
      throw Failure(description: files.isEmpty ? "no file was named; see --help" : "there is no text \(files[0]) that can be read")
    }
    let clock = ContinuousClock()
    let engines = client.ids.count
    // The first call makes each engine's actor; it is not what is measured.
    _ = try await client.directView().onAll(WordCounter.self) { try await $0.count("") }

    var serial: [String: Int] = [:]
    let serialTime = clock.measure { serial = Words.count(text) }

    var direct: [String: Int] = [:]
    let directTime = try await clock.measure {
      let parts = Words.parts(of: text, engines)
      direct = Words.merge(try await client.directView().map(parts, on: WordCounter.self) { try await $0.count($1) })
    }

    var balanced: [String: Int] = [:]
    let balancedTime = try await clock.measure {
      let parts = Words.parts(of: text, 4 * engines)
      balanced = Words.merge(try await client.loadBalancedView().map(parts, on: WordCounter.self) { try await $0.count($1) })
    }
    guard direct == serial, balanced == serial else {
      throw Failure(description: "the engines counted other words than this process")
    }

    let report = Report(
      serial: serialTime, direct: directTime, balanced: balancedTime, counts: serial, engines: engines, file: path)
    print(isJSON ? report.json : report.table)
  }

  private static func read(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { return ferror(file) == 0 ? String(decoding: bytes, as: UTF8.self) : nil }
      bytes += buffer[..<count]
    }
  }
}

struct Failure: Error, CustomStringConvertible { let description: String }
