import ApusMessaging
import Glibc

/// The cluster's file of a program that is its controller and its launcher in one process: by it whoever comes later finds what the program has
/// left on other systems when it is killed.
struct ProgramClusterFile: Sendable {
  private let path: String
  private let file: ClusterFile

  /// - Parameters:
  ///   - launcher: of its engines.
  ///   - program: path of this program.
  init(_ profile: ProfileDirectory, clusterID: String, launcher: String, engines: Int, program: String) {
    path = profile.clusterFile(clusterID)
    var file = ClusterFile(clusterID: clusterID, profile: profile.location)
    (file.engineLauncher, file.count, file.program) = (launcher, engines, program)
    file.isOfThisHost()
    let process = ClusterFile.Process(pid: getpid(), outputFile: "", began: ProcessTable.began(getpid()))
    (file.controller, file.supervisor, file.restartsController) = (process, process, false)
    self.file = file
  }

  /// Before anything is started of which it does not say how that is found.
  /// - Parameter state: of its engines, as their launcher told it last.
  func write(_ state: JSONObject? = nil, of set: String = "") throws(ClusterError) {
    var file = file
    if let state { file.set(set, state) }
    try ClusterFile.whileLocked(path) { () throws(ClusterError) in
      AtomicFile.removeUnfinished(path)
      try file.write(to: path)
    }
  }

  func remove() { FileSystem.remove(path) }
}
