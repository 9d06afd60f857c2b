import ApusMessaging
import ApusProcess
import Glibc

/// What a launcher is asked to do, and what comes of it: the same whether it is done at once or on a thread.
struct LauncherSteps: Sendable {
  enum Request: Sendable {
    /// What comes before a start.
    case plan(Range<Int>, EngineJob)
    case start(Range<Int>, EngineJob)
    case signal(Int32, Set<Int>)
    case stop(isForced: Bool)
    /// Look how they are.
    case look
    case removeFiles
    /// Let go of the engines, which stay.
    case leave
  }

  enum Event: Sendable {
    /// They are about to be started, in these parts; the set's state for the cluster's file, which is to have it before.
    case planned(Range<Int>, parts: [Range<Int>], JSONObject)
    /// They were handed over; the set's state for the cluster's file.
    case started(JSONObject)
    /// They could not be.
    case refused(ClusterError)
    case waiting(Int, String)
    case running(Int, String)
    case ended(EndedEngine)
    /// One that had ended is there again, as its system has started its job anew; in which state, is told next.
    case returned(Int)
    /// The system does not do what it is asked, or does not answer; it is asked again.
    case trouble(ClusterError)
    /// They should end, and nobody can say whether they have: their host does not answer. They are waited for no more.
    case unreachable(Set<Int>)
    /// Files are removed, or the engines are let go of.
    case done
  }

  private(set) var launcher: any Launcher
  /// The set as the cluster's file should have it.
  var state: JSONObject? { job.map { launcher.state($0) } }
  private let outputLimit: Int
  private var job: EngineJob?
  private var states: [Int: EngineState] = [:]
  private(set) var schedule = PollSchedule()
  private var isStopping = false
  /// Those that were told of.
  private var unreachable: Set<Int> = []
  private var wellEnded: Set<Int> = []
  private var troubles = 0

  init(_ launcher: any Launcher, outputLimit: Int) {
    self.launcher = launcher
    self.outputLimit = outputLimit
  }

  mutating func heed(_ interruption: Interruption) { launcher.heed(interruption) }

  /// All engines of the set.
  var known: Set<Int> { Set(states.keys) }

  /// Engines that have not ended.
  var live: Set<Int> { Set(states.filter { !$0.value.isEnded }.keys) }

  mutating func perform(_ request: Request) -> [Event] {
    do throws(ClusterError) {
      switch request {
      case .plan(let engines, let job):
        self.job = job
        let parts = launcher.plan(engines, job)
        return [.planned(engines, parts: parts, launcher.state(job))]
      case .start(let engines, let job): return try start(engines, job)
      case .signal(let signal, let engines): try launcher.signal(signal, engines.intersection(live))
      case .stop(let isForced):
        isStopping = true
        schedule.set(.stopping)
        let open = live
        var events: [Event] = []
        if !open.isEmpty {
          do throws(ClusterError) { try launcher.stop(open, isForced: isForced) } catch { events.append(.trouble(error)) }
        }
        return events + lost() + look()
      case .look: return look()
      case .removeFiles:
        launcher.removeFiles(logsOf: wellEnded)
        return [.done]
      case .leave:
        leave()
        return [.done]
      }
      return []
    } catch { return [.trouble(error)] }
  }

  /// Learns how the engines of a set are that somebody else started.
  /// - Parameter job: as which the set is kept from now on, by whoever keeps it.
  /// - Returns: those that have ended.
  /// - Throws: where the system does not answer, also of a start whose answer its launcher did not live to hear.
  mutating func takeOver(_ job: EngineJob? = nil) throws(ClusterError) -> [EndedEngine] {
    self.job = job
    states = try launcher.states()
    let unanswered = launcher.unanswered.sorted()
    if job != nil, !unanswered.isEmpty {
      let names = unanswered.prefix(5).map(String.init).joined(separator: ", ") + (unanswered.count > 5 ? ", …" : "")
      throw ClusterError(
        .refused, "a start of engines (\(names)) was not answered, and it cannot be seen now what has become of it",
        advice: "Another start tries it again; 'apus stop' ends what there is.")
    }
    return states.compactMap { index, state in if case .ended(let end) = state { ended(index, end) } else { nil } }
  }

  /// Takes engines for running that nobody has asked about: to stop them, nobody has to.
  mutating func assumeRunning(_ engines: Set<Int>) {
    states = Dictionary(uniqueKeysWithValues: engines.map { ($0, .running("")) })
  }

  /// Lets go of what was opened to ask; the engines stay.
  mutating func leave() { launcher.leave() }

  private mutating func start(_ engines: Range<Int>, _ job: EngineJob) throws(ClusterError) -> [Event] {
    self.job = job
    for index in engines { states[index] = launcher.isImmediate ? .running("") : .waiting("") }
    wellEnded.subtract(engines)
    if !isStopping { schedule.set(.starting) }
    do throws(ClusterError) { try launcher.start(engines, job) } catch {
      // What runs by now is stopped as the rest is; what does not, never was.
      return [.started(launcher.state(job)), .refused(error)] + look()
    }
    return [.started(launcher.state(job))]
  }

  /// Engines that are not waited for any more.
  private mutating func lost() -> [Event] {
    guard isStopping, let lost = launcher.unreachable else { return [] }
    let new = lost.engines.intersection(live).subtracting(unreachable)
    unreachable.formUnion(new)
    return new.isEmpty ? [] : [.trouble(lost.reason), .unreachable(new)]
  }

  /// Whether there is nobody left who could be asked.
  var isHopeless: Bool { !live.isEmpty && live.isSubset(of: unreachable) }

  private mutating func look() -> [Event] {
    guard !live.isEmpty, !isHopeless else { return [] }
    let found: [Int: EngineState]
    do throws(ClusterError) { found = try launcher.states() } catch {
      // What it was started for another has meanwhile: no hiccup.
      if error.exitCode == .alreadyRunning { return [.refused(error)] }
      schedule.failed()
      // Once is a hiccup; and nobody wants to read it again and again.
      return (schedule.failures == 3 ? [.trouble(error)] : []) + lost()
    }
    var events: [Event] = []
    for (index, state) in found.sorted(by: { $0.key < $1.key }) {
      guard let before = states[index], before != state, !before.isEnded || !state.isEnded else { continue }
      states[index] = state
      if before.isEnded {
        wellEnded.remove(index)
        events.append(.returned(index))
      }
      switch state {
      case .waiting(let reason): events.append(.waiting(index, reason))
      case .running(let host): events.append(.running(index, host))
      case .ended(let end): events.append(.ended(ended(index, end)))
      }
    }
    schedule.answered(changed: !events.isEmpty)
    if !isStopping { schedule.set(pace) }
    return events + lost()
  }

  private var pace: PollSchedule.Pace {
    if launcher.awaitsFiles { return .arriving }
    return states.values.contains { if case .waiting = $0 { true } else { false } } ? .starting : .serving
  }

  private mutating func ended(_ index: Int, _ end: EngineEnd) -> EndedEngine {
    if isStopping || end.isSuccess {
      wellEnded.insert(index)
      return EndedEngine(index: index, end: end, place: launcher.place(of: index), lines: [])
    }
    return EndedEngine(
      index: index, end: end, place: launcher.place(of: index), lines: launcher.output(of: index, limit: outputLimit))
  }
}
