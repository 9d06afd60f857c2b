import ApusProcess
import ApusClient
import ApusCluster
import Testing

@testable import Apus

@Suite("Partitions, chunks and options") struct WordTests {
  @Test("blocks are contiguous and as equal as can be", arguments: [(0, 3), (1, 3), (7, 3), (9, 3), (2, 5)])
  func blocks(_ count: Int, _ parts: Int) {
    let blocks = Partition.blocks(count, in: parts)
    #expect(blocks.count == parts)
    #expect(blocks.flatMap { Array($0) } == Array(0..<count))
    let sizes = blocks.map(\.count)
    #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
    #expect(Partition.blocks(3, in: 0) == [])
  }

  @Test("fixed chunks end with the rest") func fixed() {
    var sizer = ChunkSizer(.items(4), engines: 2, total: 10)
    #expect([sizer.next(), sizer.next(), sizer.next()] == [4, 4, 2])
    #expect(sizer.chunksAhead == .max)
    var endless = ChunkSizer(.items(0), engines: 0, total: nil)
    #expect(endless.next() == 1)
  }

  @Test("quick items come to travel in large chunks") func growth() {
    var sizer = ChunkSizer(.automatic, engines: 2, total: 1_000_000)
    #expect(sizer.next() == 1)
    var sizes: [Int] = []
    for _ in 0..<8 {
      let size = sizer.next()
      sizes.append(size)
      sizer.measured(size, seconds: Double(size) * 1e-7)
    }
    #expect(sizes.last == 199_999 || (sizes.last ?? 0) > 50_000)
    #expect(zip(sizes, sizes.dropFirst()).allSatisfy { $1 <= 8 * max($0, 1) })
  }

  @Test("slow items travel alone") func slow() {
    var sizer = ChunkSizer(.automatic, engines: 2, total: 100)
    for _ in 0..<20 {
      let size = sizer.next()
      #expect(size == 1)
      sizer.measured(size, seconds: 0.5)
    }
  }

  @Test("the last chunks are small enough for all engines") func tail() {
    var sizer = ChunkSizer(.automatic, engines: 4, total: 100)
    sizer.measured(50, seconds: 1e-6)
    var given = 0
    while given < 100 {
      let size = sizer.next()
      #expect(size <= max(1, (100 - given + 7) / 8))
      given += size
    }
    #expect(given == 100)
  }

  @Test("what the command line says of the cluster") func options() throws {
    let plain = try ProgramOptions(["text.txt", "--json", "-n", "4"])
    #expect(plain.role == .embedded)
    #expect(plain.engines == 4)
    #expect(plain.rest == ["text.txt", "--json"])
    let following = try ProgramOptions(["-n", "1-8"])
    #expect(following.range == 1...8 && following.engines == 1 && following.role == .embedded)
    let jobs = try ProgramOptions(["--engines=slurm", "-n", "0-64"])
    #expect(jobs.range == 0...64 && jobs.launching == ["--engines=slurm", "-n0"])
    let joined = try ProgramOptions(["--profile=work", "x"])
    #expect(joined.role == .client)
    #expect(joined.source == .profile("work", clusterID: nil))
    let engine = try ProgramOptions(["engine", "--file", "/x-engine.json"])
    #expect(engine.role == .engine)
    #expect(engine.engineFile(Environment([:])) == "/x-engine.json")
    #expect(try ProgramOptions(["a", "--", "--file"]).rest == ["a", "--file"])
  }

  @Test(
    "wrong options say so",
    arguments: [
      ["-n", "0"], ["-n"], ["--engines", "many"], ["-n", "3-2"], ["-n", "0-0"], ["-n", "1-2", "--profile=x"],
      ["engine", "--speed"], ["--file"],
    ])
  func wrongOptions(_ arguments: [String]) {
    let error = #expect(throws: ClusterError.self) { try ProgramOptions(arguments) }
    #expect(error?.exitCode == .usage)
  }

  @Test("the bar tells done, rate and rest") func bar() {
    let line = ProgressBar("words", total: 200).line(50, elapsed: 2)
    #expect(line == "words " + String(repeating: "█", count: 7) + String(repeating: "░", count: 23) + " 50/200 · 25.0/s · 6 s left")
    #expect(ProgressBar("", total: nil).line(5, elapsed: 1) == "5 · 5.0/s")
  }
}
