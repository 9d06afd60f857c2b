@testable import ApusController
import ApusMessaging
import Transport

/// A client of ipyparallel: it sends its requests once, under the name that it is given with each connection, and waits.
final class StockClientProcess: Process {
  unowned let cluster: Cluster
  private var identity = Frame.empty
  private var link: (link: Link, controller: ControllerProcess)?
  private var unsent: [Envelope] = []
  private var lastNumber = 0
  private var lastSubmitted: Int?
  /// For so long controllers remember who was there.
  private static let memory = 60_000_000
  /// The latest controller that has a message of its.
  private(set) weak var heardBy: ControllerProcess?
  private var heardSince = 0

  init(_ cluster: Cluster, number: Int) {
    self.cluster = cluster
    super.init(cluster.world, "stock\(number)")
  }

  /// Whether the controller has heard it, and had the time to write down what follows from that.
  func wasHeard(by controller: ControllerProcess) -> Bool {
    heardBy === controller && heardSince <= controller.moment(before: 20_000)
  }

  func begin() {
    world.note("\(name) begins")
    dial()
    submitLater()
  }

  override func letGo() {
    link = nil
    unsent = []
  }

  private func dial() {
    cluster.dial("\(name).task", from: self) { [self] link, controller in
      self.link = (link, controller)
      link.onBroken = (
        { [weak self] in
          guard let self, self.link?.link === link else { return }
          self.link = nil
          dial()
        }, {}
      )
      let identity = controller.nextName()
      self.identity = identity
      link.toListener("\(name) connects") { [unowned self, unowned controller] in
        controller.connected(identity, by: link, .stock(self))
      }
      let queued = unsent
      unsent = []
      for message in queued { send(message) }
    }
  }

  private func submitLater() {
    // Now and then it only waits, for long: nobody hears then under which name it has come back.
    let rest = world.chance(cluster.scenario.silences) ? world.pick(3...20) : 0
    after(rest * 1_000_000 + Int(1e6 * cluster.scenario.pause * world.logarithmic(0.3...5))) { [self] in
      guard cluster.isBusy else { return }
      submit()
      submitLater()
    }
  }

  func submit() {
    lastNumber += 1
    lastSubmitted = world.now
    let id = MessageID("\(name)_\(lastNumber)")
    let retries = world.chance(30) ? world.pick(1...2) : 0
    let account = TaskAccount(
      id: id, client: name, length: Int(1e6 * world.logarithmic(cluster.scenario.length)),
      deeds: world.chance(15) ? [.fail, .succeed] : [.succeed], retries: retries, hasTimeout: false, names: [], hasTargets: false,
      submitted: world.now)
    account.isStock = true
    cluster.ledger.submitted(account)
    world.note("\(name) submits \(id)")
    send(
      Envelope(
        signature: Frame("signed"),
        header: Frame(["msg_id": .string(id.text), "msg_type": "apply_request", "session": .string(name)]),
        parentHeader: .emptyObject, metadata: retries > 0 ? Frame(["retries": .int(retries)]) : .emptyObject, content: .emptyObject)
    )
  }

  private func send(_ message: Envelope) {
    guard let id = message.messageID else { return }
    guard let (link, controller) = link, link.isOpen else { return unsent.append(message) }
    let routed = message.routed(to: [identity])
    link.toListener("apply_request \(id)") { [unowned self, unowned controller] in
      cluster.ledger.tasks[id]?.received = world.now
      if heardBy !== controller { (heardBy, heardSince) = (controller, world.now) }
      controller.submit(routed)
    }
  }

  func replied(_ reply: Envelope, by controller: ControllerProcess?) {
    guard let id = reply.parentID, let task = cluster.ledger.tasks[id] else { return }
    // What is somebody else's it lets go of. No controller can know of one that keeps quiet: what is taken to it under another's name may be lost.
    guard task.client == name else {
      if lastSubmitted.map({ world.now - $0 > Self.memory }) ?? true { task.mayBeLost = true }
      return
    }
    // What it has had before is a stale result, which it ignores if it can.
    guard cluster.ledger.answered(task, by: controller) else { return }
    let content = try? reply.content()
    let how =
      content?["status"]?.stringValue == "error" ? content?["ename"]?.stringValue ?? "?" : content?["status"]?.stringValue ?? "?"
    world.note("\(id) has ended for \(name): \(how)")
    cluster.ledger.ended(id, how)
  }
}
