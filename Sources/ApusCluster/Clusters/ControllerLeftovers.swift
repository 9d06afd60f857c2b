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

  /// Of a controller elsewhere only its connection files are here. Those that were here before are another's, and so is a journal.
  static func removeFiles(of file: ClusterFile) {
    if areUsedAgain(file.controllerArguments) { return }
    for kind in ["client", "engine"] {
      let path = ProfileDirectory(file.profile).connectionFile(kind, clusterID: file.clusterID)
      // It was killed while it wrote it.
      let directory = Path.parent(path)
      for name in FileSystem.entries(of: directory) where name.hasPrefix(Path.name(path) + ".") && name.hasSuffix(".new") {
        FileSystem.remove(Path.join(directory, name))
      }
      guard let version = FileSystem.version(of: path), file.formerFiles[path] != version.text else { continue }
      FileSystem.remove(path)
    }
  }

  /// Whether its connection files are meant for the next controller, too.
  static func areUsedAgain(_ controllerArguments: [String]) -> Bool {
    controllerArguments.contains { $0.contains("reuse") || $0.contains("restore") }
  }
}
