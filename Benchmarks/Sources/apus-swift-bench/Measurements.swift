import Apus
import ApusTasks
import Glibc

/// What is measured, each as names and numbers.
enum Measurements {
  private static let clock = ContinuousClock()

  private static func seconds(_ duration: Duration) -> Double { duration / .seconds(1) }

  /// One message for each no-op task, through the load-balanced view.
  static func tasks(_ client: Client, _ count: Int) async throws -> [(String, Double)] {
    let view = client.loadBalancedView()
    func run(_ count: Int) async throws -> Double {
      var sum = 0
      let time = try await clock.measure {
        for try await value in try view.results(of: 0..<count, chunk: .items(1), { $0 }) { sum += value }
      }
      guard sum == count * (count - 1) / 2 else { throw UnknownPart(description: "tasks were lost") }
      return Double(count) / seconds(time)
    }
    _ = try await run(count / 10)
    let before = Usage.processor
    let rate = try await run(count)
    return [("tasks_per_s", rate), ("client_and_controller_us_per_task", (Usage.processor - before) * 1e6 / Double(count))]
  }

  /// One task at a time.
  static func roundTrip(_ client: Client, _ count: Int) async throws -> [(String, Double)] {
    let view = client.loadBalancedView()
    var times: [Double] = []
    for index in 0..<count {
      let time = try await clock.measure { _ = try await view.apply(index) { $0 } }
      times.append(seconds(time) * 1000)
    }
    times.removeFirst(count / 10)
    times.sort()
    return [("round_trip_ms", times[times.count / 2]), ("round_trip_p99_ms", times[times.count * 99 / 100])]
  }

  /// A map that is left to itself.
  static func map(_ client: Client, _ count: Int) async throws -> [(String, Double)] {
    let view = client.loadBalancedView()
    _ = try await view.map(0..<count / 10) { $0 &* $0 }
    var last = 0
    let time = try await clock.measure { last = try await view.map(0..<count) { $0 &* $0 }.last ?? 0 }
    guard last == (count - 1) &* (count - 1) else { throw UnknownPart(description: "the map is wrong") }
    return [("map_items_per_s", Double(count) / seconds(time))]
  }

  /// 8 MB of numbers, one way: the reply is a single number.
  static func array(_ client: Client, _ rounds: Int) async throws -> [(String, Double)] {
    let view = client.loadBalancedView()
    let numbers = (0..<1_000_000).map { Double($0) }
    var times: [Double] = []
    for _ in 0..<rounds {
      let time = try await clock.measure {
        guard try await view.apply(numbers, { $0.count }) == numbers.count else {
          throw UnknownPart(description: "numbers were lost")
        }
      }
      times.append(seconds(time) * 1000)
    }
    times.sort()
    return [("array_8mb_ms", times[times.count / 2])]
  }

  /// Encoding, running and decoding a call of an actor's function, in this process and without messages.
  static func call(_ count: Int) async throws -> [(String, Double)] {
    let loop = LoopbackTasks()
    let squares = try loop.actor(Squares.self)
    var sum = 0
    for index in 0..<count / 10 { sum &+= try await squares.square(index) }
    let time = try await clock.measure { for index in 0..<count { sum &+= try await squares.square(index) } }
    guard sum != 0 else { throw UnknownPart(description: "squares were lost") }
    return [("square_call_us", seconds(time) * 1e6 / Double(count))]
  }

  /// Many tasks over time: what counts is the memory.
  static func stream(_ client: Client, _ count: Int) async throws -> [(String, Double)] {
    let view = client.loadBalancedView()
    var found = 0
    let time = try await clock.measure {
      for try await _ in try view.results(of: 0..<count, chunk: .items(1), isOrdered: false, { $0 }) { found += 1 }
    }
    guard found == count else { throw UnknownPart(description: "\(count - found) tasks were lost") }
    return [
      ("streamed_tasks", Double(found)), ("streamed_tasks_per_s", Double(count) / seconds(time)),
      ("streamed_peak_mb", Usage.peakMegabytes),
    ]
  }
}

/// What this process has used: client and controller, which are one process here.
enum Usage {
  /// Processor time of all threads, in seconds.
  static var processor: Double {
    var usage = rusage()
    getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
  }

  /// The most memory that was resident, in MB.
  static var peakMegabytes: Double {
    var usage = rusage()
    getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_maxrss) / 1024
  }
}
