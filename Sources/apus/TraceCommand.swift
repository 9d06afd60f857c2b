import ApusClient
import ApusCluster
import ApusMessaging

/// `apus trace`.
struct TraceCommand {
  private let context: CommandContext
  init(_ context: CommandContext) { self.context = context }

  func run() async throws(ClusterError) -> ExitCode {
    guard let out = try context.text("out") else {
      throw ClusterError(.usage, "no file is named", advice: "For example: apus trace --out=trace.json")
    }
    let filter = try context.storyFilter()
    let isJSON = try context.printsJSON
    let connection = try ClusterConnection(context)
    return try await connection.withClient { client in
      let story = try await client.story(filter)
      let trace = TraceDocument(story, until: .now()).json
      if out == "-" {
        context.output.print(trace.text + "\n")
        return .success
      }
      let path = Path.expanded(out, context.environment)
      do throws(FileError) { try AtomicFile.writeThrough(trace.encoded(), to: path, mode: 0o644) } catch {
        throw ClusterError(.cannotWrite, "the trace: \(error)")
      }
      if isJSON {
        let report: JSONValue = ["file": .string(path), "events": .int(story.count)]
        context.output.print(report.text + "\n")
      } else {
        context.output.note(.info, "\(story.count) events are in \(path): open it at https://ui.perfetto.dev")
      }
      return .success
    }
  }
}
