import Glibc

/// What a controller removes at its end, of one that could not do so itself: with its connection files clients would look for it in vain, and
/// whoever stops a cluster does not want its tasks back.
enum ControllerLeftovers {
  /// Connection files that are meant to be used again stay.
  static func remove(_ profile: ProfileDirectory, clusterID: String, controllerArguments: [String]) {
    let journal = profile.journal(clusterID: clusterID)
    let hadJournal = FileSystem.isDirectory(journal)
    for name in FileSystem.entries(of: journal) { FileSystem.remove(Path.join(journal, name)) }
    rmdir(journal)
    if areUsedAgain(controllerArguments) { return }
    let secret = profile.connectionFile("curve", clusterID: clusterID)
    // Kept by one that uses its files again; one with a journal keeps it too, for as long as it lives.
    if FileSystem.exists(secret) {
      guard hadJournal else { return }
      FileSystem.remove(secret)
    }
    for kind in ["client", "engine"] { FileSystem.remove(profile.connectionFile(kind, clusterID: clusterID)) }
  }

  /// Whether its connection files are meant for the next controller, too.
  static func areUsedAgain(_ controllerArguments: [String]) -> Bool {
    controllerArguments.contains { $0.contains("reuse") || $0.contains("restore") }
  }
}
