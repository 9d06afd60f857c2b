import ApusMessaging
import ApusValues
import Glibc
import TestSupport
import Testing

@testable import ApusClient

/// One case with the Swift client: its tasks by name, and the directory that they know.
struct SemanticRun {
  /// What a step submitted: a task for each engine of its view, or one, or a refusal.
  private struct Submitted {
    var handles: [TaskHandle] = []
    /// The results are a list, also if it is a list of one.
    var isList = false
    /// All engines' results are in one reply.
    var isCoalesced = false
    var refusal: ClientError?
  }

  struct Unfit: Error { let step: String }

  private let directory = TemporaryDirectory()
  private var box: String { directory.path }
  private let client: Client
  private let connect: () async throws -> Client
  private var other: Client?
  private let ids: [EngineID]
  private let pids: [Int]
  private var tasks: [String: Submitted] = [:]
  private static let limit = Duration.seconds(40 * patience)

  init(_ client: Client, connect: @escaping () async throws -> Client) async throws {
    self.client = client
    self.connect = connect
    ids = client.ids
    pids = try await client.directView().python.apply("os.getpid", as: Int.self)
    TextFile.write("", to: "\(box)/log")
    TextFile.write(JSONValue.array(pids.map { .int($0) }).text, to: "\(box)/engines")
  }

  func close() async { await other?.close() }

  // MARK: steps

  mutating func perform(_ step: JSONValue) async throws {
    guard let (verb, value) = step.objectValue?.members.first else { throw Unfit(step: step.text) }
    let names = value.stringArrayValue ?? []
    switch verb {
    case "submit": tasks[value.stringValue ?? ""] = try await submit(value.stringValue ?? "", step)
    case "wait": for name in names { for task in handles(name) { _ = try? await task.reply(within: Self.limit) } }
    case "begun": for name in names { try await wait("\(name) begins") { log().contains { $0.starts(with: ["begin", name]) } } }
    case "set": TextFile.write("", to: "\(box)/\(value.stringValue ?? "")")
    case "abort": try await client.abort(names.flatMap { handles($0).map(\.id) })
    case "kill":
      let number = value.intValue ?? 0
      kill(pid_t(pids[number]), SIGKILL)
      try await wait("the loss is told") { !client.ids.contains(ids[number]) }
    case "interrupt": try await client.signal(SIGINT, on: .engine(ids[value.intValue ?? 0]))
    default: throw Unfit(step: step.text)
    }
  }

  private mutating func submit(_ name: String, _ step: JSONValue) async throws -> Submitted {
    var client = client
    if step["client"] != nil {
      if other == nil { other = try await connect() }
      client = other ?? client
    }
    let function = PythonFunction.named("semantic_tasks.\(step["call"]?.stringValue ?? "")")
    let arguments = [.string(box), .string(name)] + (step["args"]?.arrayValue ?? [])
    let call = try PythonCall(
      name, head: try function.head(), CallArguments(arguments.map { PlainValue($0) }, NamedValues([:])))
    let targets = step["targets"]?.arrayValue.map {
      $0.compactMap(\.intValue).map { ids.indices.contains($0) ? ids[$0] : EngineID($0) }
    }
    let selection = targets.map { EngineSelection.engines($0) } ?? .all
    do throws(ClientError) {
      switch step["view"]?.stringValue ?? "balanced" {
      case "direct":
        return try await sent {
          Submitted(handles: try await client.directView(selection).python.submit(call).handles, isList: true)
        }
      case "broadcast":
        return try await sent {
          Submitted(handles: try await client.broadcastView(selection).python.submit(call).handles, isList: true)
        }
      case "coalescing":
        let view = client.broadcastView(selection, isCoalescing: true)
        return try await sent {
          Submitted(handles: try await view.submit(call.submission(label: nil, awaitsOutput: false)).handles, isCoalesced: true)
        }
      default:
        let view = try balanced(client, step, selection)
        return try await sent { Submitted(handles: [try await view.python.submit(call)]) }
      }
    } catch { return Submitted(refusal: error) }
  }

  /// What the client refuses ends a case no more than a task that fails.
  private func sent(_ submit: () async throws -> Submitted) async throws(ClientError) -> Submitted {
    do { return try await submit() } catch let error as ClientError { throw error } catch {
      throw ClientError(.badReply, "\(error)")
    }
  }

  private func balanced(_ client: Client, _ step: JSONValue, _ targets: EngineSelection) throws(ClientError) -> LoadBalancedView {
    var view = client.loadBalancedView()
    if targets != .all { try view.setTargets(targets) }
    if let retries = step["retries"]?.intValue { view.retries = retries }
    if let seconds = step["timeout"]?.doubleValue { view.timeout = .seconds(seconds) }
    if let after = step["after"] { view.after = dependency(after) }
    if let follow = step["follow"] { view.follow = dependency(follow) }
    view.label = step["label"]?.stringValue
    return view
  }

  private func dependency(_ words: JSONValue) -> Dependency {
    let ids = (words["on"]?.stringArrayValue ?? []).compactMap { name in
      name.hasPrefix("?") ? MessageID(String(name.dropFirst())) : handles(name).first?.id
    }
    return Dependency(
      Set(ids), all: words["all"]?.boolValue ?? true, success: words["success"]?.boolValue ?? true,
      failure: words["failure"]?.boolValue ?? false)
  }

  private func handles(_ name: String) -> [TaskHandle] { tasks[name]?.handles ?? [] }

  private func wait(_ event: String, until condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + Self.limit
    while !condition() {
      guard .now < deadline else { throw Unfit(step: event) }
      try await Task.sleep(for: .milliseconds(2))
    }
  }

  // MARK: what came of it

  /// Lines of the tasks' log: what happened, to whom, on which engine.
  func log() -> [[String]] {
    (TextFile.read("\(box)/log") ?? "").split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
  }

  func engines(of name: String) -> [Int] {
    log().filter { $0.starts(with: ["begin", name]) }.compactMap { $0.last.flatMap { Int($0) } }
  }

  func outcome(_ name: String) async -> JSONValue {
    guard let task = tasks[name] else { return .null }
    if let refusal = task.refusal {
      return refusal.code == .unknownEngine ? ["refused": true] : ["refused": .string(refusal.description)]
    }
    var outcomes: [JSONValue] = []
    for handle in task.handles {
      do {
        let reply = try await handle.reply(within: Self.limit)
        if task.isCoalesced {
          return .array(try reply.buffers.map { ["value": try MessagePackDecoder().decode(PlainValue.self, from: [$0]).json] })
        }
        outcomes.append(["value": try PythonResult.decode(PlainValue.self, reply, of: name).json])
      } catch let error as RemoteError {
        outcomes.append(error.isAborted ? ["aborted": true] : ["error": .string(error.name)])
      } catch { outcomes.append(["thrown": .string("\(error)")]) }
    }
    return task.isList ? .array(outcomes) : outcomes.first ?? .null
  }

  func ids(labelled label: String) async throws -> [MessageID] {
    try await client.taskQuery(["label": .string(label)], fields: ["msg_id"]).map(\.id)
  }

  func ids(of name: String) -> [MessageID] { handles(name).map(\.id) }
}
