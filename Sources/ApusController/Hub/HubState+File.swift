import ApusMessaging

/// What the next controller is to know.
extension HubState {
  /// Those that are here, and those of the controller before that may still come back: this one may die before they do.
  var enginesToRemember: [(id: EngineID, uuid: EngineUUID, traits: EngineTraits)] {
    var found = engines.mapValues { (id: $0.id, uuid: $0.uuid, traits: $0.traits) }
    if formersDeadline != nil {
      for (uuid, former) in lost where former.isFormer && found[former.id] == nil {
        found[former.id] = (former.id, uuid, former.traits)
      }
      for (uuid, waiting) in pending where found[waiting.id] == nil { found[waiting.id] = (waiting.id, uuid, waiting.traits) }
    }
    return found.values.sorted { $0.id < $1.id }
  }

  /// The file of engines.
  var fileContent: JSONObject {
    let engines = enginesToRemember
    let kinds = engines.filter { $0.traits.kind != .python }
    var content: JSONObject = [
      "engines": .object(JSONObject(members: engines.map { (key: $0.id.description, value: .string($0.uuid.text)) })),
      "next_id": .int(nextID),
    ]
    if !kinds.isEmpty {
      content["kinds"] = .object(JSONObject(members: kinds.map { ($0.id.description, .string($0.traits.kind.rawValue)) }))
    }
    content["own"] = .array(engines.filter(\.traits.takesBatches).map { .int($0.id.number) })
    return content
  }
}
