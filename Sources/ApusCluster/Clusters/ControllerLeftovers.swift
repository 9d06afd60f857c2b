import ApusMessaging
import Glibc

/// What a controller removes at its end, of one that could not do so itself: with its connection files clients would look for it in vain, and
/// whoever stops a cluster does not want its tasks back.
enum ControllerLeftovers {
  /// Connection files that are meant to be used again stay, and all of it where another controller has taken the place meanwhile, which
  /// somebody has started by hand.
  /// - Parameter keptJournal: whether it kept one. A journal that is there all the same is that of a controller before, whose tasks nobody has given up.
  static func remove(_ profile: ProfileDirectory, clusterID: String, controllerArguments: [String], journal keptJournal: Bool) {
    // No answer takes a second, in which another may have come.
    if areInUse(profile, clusterID: clusterID) || hasController(profile, clusterID: clusterID) { return }
    removeUnfinished(["client", "engine", "curve"], profile, clusterID: clusterID)
    let journal = JournalDirectory(profile, clusterID: clusterID)
    let isJournalThere = FileSystem.isDirectory(journal.path)
    if keptJournal, isJournalThere { journal.remove() }
    if areUsedAgain(controllerArguments) { return }
    let secret = profile.connectionFile("curve", clusterID: clusterID)
    // Kept by one that uses its files again; one with a journal keeps it too, for as long as it lives.
    if FileSystem.exists(secret) {
      guard isJournalThere, keptJournal || !isSecret(secret, of: profile.connectionFile("client", clusterID: clusterID)) else {
        return
      }
      if keptJournal { FileSystem.remove(secret) }
    }
    for kind in ["client", "engine"] { FileSystem.remove(profile.connectionFile(kind, clusterID: clusterID)) }
  }

  /// Whether the one who wrote these connection files has kept its key there, and not one before.
  private static func isSecret(_ secret: String, of connections: String) -> Bool {
    func text(_ name: String, _ path: String) -> String? {
      guard let bytes = try? AtomicFile.read(path), let json = try? JSONValue(parsing: bytes) else { return nil }
      return json[name]?.stringValue
    }
    return text("curve_publickey", secret).map { $0 == text("curve_serverkey", connections) } ?? false
  }

  /// Of a controller elsewhere only its connection files are here. Those that were here before are another's, and so is a journal.
  static func removeFiles(of file: ClusterFile) {
    if areUsedAgain(file.controllerArguments) { return }
    let profile = ProfileDirectory(file.profile)
    removeUnfinished(["client", "engine"], profile, clusterID: file.clusterID)
    removeConnections(profile, clusterID: file.clusterID, former: file.formerFiles)
  }

  /// It was killed while it wrote them: the key is in them as in those that are finished.
  static func removeUnfinished(_ kinds: [String], _ profile: ProfileDirectory, clusterID: String) {
    for kind in kinds { AtomicFile.removeUnfinished(profile.connectionFile(kind, clusterID: clusterID)) }
    AtomicFile.removeUnfinished(profile.engineStateFile(clusterID: clusterID))
  }

  /// Those of a controller that was started elsewhere, and has ended.
  /// - Parameter former: versions of those that were there before it was started.
  static func removeConnections(_ profile: ProfileDirectory, clusterID: String, former: [String: String]) {
    let paths = ["client", "engine"].map { profile.connectionFile($0, clusterID: clusterID) }
    let written = paths.filter { path in FileSystem.version(of: path).map { former[path] != $0.text } ?? false }
    if written.isEmpty || areInUse(profile, clusterID: clusterID) { return }
    for path in written { FileSystem.remove(path) }
  }

  /// What one has left that was to begin a journal and did not come to serve: the connection files are those of before, if there are any.
  static func removeNewJournal(_ profile: ProfileDirectory, clusterID: String, controllerArguments: [String]) {
    if hasController(profile, clusterID: clusterID) { return }
    removeUnfinished(["client", "engine", "curve"], profile, clusterID: clusterID)
    JournalDirectory(profile, clusterID: clusterID).remove()
    if areUsedAgain(controllerArguments) || FileSystem.exists(profile.connectionFile("client", clusterID: clusterID)) { return }
    FileSystem.remove(profile.connectionFile("curve", clusterID: clusterID))
  }

  /// Whether a controller of ours has the place on this host, though it may not answer yet: it has its lock open. Trying the lock would take
  /// it from one that begins at this moment.
  static func hasController(_ profile: ProfileDirectory, clusterID: String) -> Bool {
    let lock = Path.join(profile.pid, "ipcontroller\(clusterID.isEmpty ? "" : "-\(clusterID)").lock")
    guard let text = try? FileSystem.text(of: lock), let pid = Int32(text.prefix { $0.isNumber }), pid > 1 else { return false }
    return ProcessTable.isRunning(pid) && ProcessTable.hasOpen(lock, pid)
  }

  /// Whether a controller answers whose connection files these are, or is about to.
  static func areInUse(_ profile: ProfileDirectory, clusterID: String) -> Bool {
    if hasController(profile, clusterID: clusterID) { return true }
    guard let text = try? FileSystem.text(of: profile.connectionFile("client", clusterID: clusterID)),
      let file = try? ConnectionFile(parsing: text)
    else { return false }
    return RegistrationWatch.answers(file)
  }

  /// Whether its connection files are meant for the next controller, too.
  static func areUsedAgain(_ controllerArguments: [String]) -> Bool {
    controllerArguments.contains { $0.contains("reuse") || $0.contains("restore") }
  }
}
