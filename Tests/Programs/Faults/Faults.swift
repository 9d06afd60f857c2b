import Apus
import Glibc

/// A program whose tasks go wrong, for the tests of what a user then sees (Tests/python/test_swift_programs.py).
///
///     Faults SCENARIO [ARGUMENT...] [cluster options]
///
/// Each step of a scenario prints a line of JSON: what it gave, or what it threw.
@main struct Faults: ClusterProgram {
  static func run(_ client: Client) async throws {
    let words = arguments
    let flag = words.dropFirst().first ?? ""
    switch words.first {
    case "nothing": break
    case "throw": throw Mistake(why: "the program's own")
    case "remote": _ = try await client.loadBalancedView().apply { () throws -> Int in throw Plain.oops }
    case "lost": _ = try await client.loadBalancedView().apply { Int(kill(getpid(), SIGKILL)) }
    case "wait":
      await step("engines") { try await client.directView().apply { Int(getpid()) } }
      try await Task.sleep(for: .seconds(600))
    case "busy":
      await step("engines") { try await client.directView().apply { Int(getpid()) } }
      _ = try await client.directView().apply { Int(sleep(600)) }
    case "stubborn":
      await step("engines") { try await client.directView().apply { Int(getpid()) } }
      // Work that does not heed its cancellation.
      while true { try? await Task.sleep(for: .milliseconds(10)) }
    case "losses": await Losses.run(client, flag)
    case "deaths": await Losses.deaths(client)
    case "lastEngine": await Losses.lastEngine(client)
    case "wrong": await WrongInput.run(client)
    case "foreign": await WrongInput.foreign(client)
    case "following": await Following.run(client)
    case "mixed": await Mixed.run(client)
    case "waves": try await Waves.run(client, flag, words.dropFirst(2).first.flatMap { Int($0) } ?? 100)
    default: throw Mistake(why: "there is no scenario \(words)")
    }
  }
}

/// An error that can travel, and one that cannot.
struct Mistake: Error, Codable, CustomStringConvertible {
  var why: String
  var description: String { why }
}
enum Plain: Error { case oops }

/// Prints what came of a step.
func step<Value>(_ name: String, _ body: () async throws -> Value) async {
  var line: JSONObject = ["step": .string(name)]
  do { line["value"] = .string("\(try await body())") } catch {
    line["error"] = .string("\(type(of: error))")
    line["text"] = .string("\(error)")
    switch error {
    case let error as RemoteError: line["name"] = .string(error.name)
    case let error as ClientError: line["name"] = .string("\(error.code)")
    case let error as TaskError: line["name"] = .string("\(error.code)")
    default: break
    }
  }
  print(JSONValue.object(line).text)
  fflush(nil)
}
