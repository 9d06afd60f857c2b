import ApusMessaging

/// What stands in a cluster's file and is not of the schema that we know: another version, or another program, has put it there, and finds it
/// again when we have written the file.
struct ForeignMembers: Sendable, Hashable {
  /// Of the file itself.
  private var ofFile = JSONObject()
  /// Of its objects, by their names.
  private var ofObjects: [String: JSONObject] = [:]

  private static let known: [String: Set<String>] = [
    "cluster": [
      "cluster_id", "controller_args", "controller_ip", "controller_location", "delay", "n", "profile_dir", "class",
    ],
    "controller": ["class", "state"], "supervisor": ["class", "state", "restarts_controller"], "engines": ["class", "sets"],
    "apus": ["ended", "launchers", "former_files", "program", "host", "boot"],
  ]

  init() {}

  init(in file: JSONValue) {
    guard let file = file.objectValue else { return }
    ofFile = Self.unknown(in: file, to: Set(Self.known.keys))
    for (name, known) in Self.known {
      guard let object = file[name]?.objectValue else { continue }
      let unknown = Self.unknown(in: object, to: known)
      if !unknown.isEmpty { ofObjects[name] = unknown }
    }
  }

  static func unknown(in object: JSONObject, to known: Set<String>) -> JSONObject {
    JSONObject(members: object.members.filter { !known.contains($0.key) })
  }

  /// Of a controller or a supervisor that is not named any more, nothing stays.
  func add(to file: inout JSONObject) {
    for (name, unknown) in ofObjects.sorted(by: { $0.key < $1.key }) {
      let object = file[name]?.objectValue
      guard object != nil || name == "apus" else { continue }
      file[name] = .object(JSONObject(members: (object?.members ?? []) + unknown.members))
    }
    for (key, value) in ofFile.members { file[key] = value }
  }
}
