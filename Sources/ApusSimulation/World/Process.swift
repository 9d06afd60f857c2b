/// Something that runs, may be stopped for a while, and may be killed at any moment. What it had planned dies with it.
class Process {
  let world: World
  let name: String
  private(set) var isAlive = true
  private(set) var isStopped = false
  private var lastStop: (from: Int, until: Int)?
  private var waiting: [() -> Void] = []
  private var links: [Link] = []

  init(_ world: World, _ name: String) {
    self.world = world
    self.name = name
  }

  /// Runs the body now, when the process goes on, or never.
  func run(_ body: @escaping () -> Void) {
    guard isAlive else { return }
    if isStopped { waiting.append(body) } else { body() }
  }

  func after(_ delay: Int, _ body: @escaping () -> Void) { world.after(delay) { [weak self] in self?.run(body) } }

  func add(_ link: Link) {
    links.removeAll { !$0.isOpen }
    links.append(link)
  }

  var openLinks: [Link] { links.filter(\.isOpen) }

  /// As by `kill -9`.
  func die() {
    guard isAlive else { return }
    world.note("\(name) dies")
    isAlive = false
    waiting = []
    for link in links { link.breakDown(killed: self) }
    links = []
    letGo()
  }

  /// It is dead: lets go of those it was connected with. They, and the connections, hold it as well, and nobody else would end that.
  func letGo() {}

  /// As by SIGSTOP.
  func stop() {
    guard isAlive, !isStopped else { return }
    world.note("\(name) stops")
    isStopped = true
    lastStop = (world.now, .max)
  }

  /// For what came to it before that moment it has had so many microseconds, in which it was not stopped.
  func moment(before time: Int) -> Int {
    guard let lastStop else { return world.now - time }
    let since = max(0, world.now - lastStop.until)
    return since >= time ? world.now - time : lastStop.from - (time - since)
  }

  /// As by SIGCONT.
  func proceed() {
    guard isAlive, isStopped else { return }
    world.note("\(name) goes on")
    isStopped = false
    lastStop?.until = world.now
    let bodies = waiting
    waiting = []
    for (index, body) in bodies.enumerated() {
      guard isAlive else { return }
      if isStopped {
        waiting = Array(bodies[index...]) + waiting
        return
      }
      body()
    }
  }
}
