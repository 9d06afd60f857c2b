/// The identities of the array types that are copied as they lie in memory: to write `T.self == [Double].self` costs a look-up in
/// the runtime's tables of generic types each time.
struct RawArrayTypes {
  let doubles = ObjectIdentifier([Double].self)
  let ints = ObjectIdentifier([Int].self)
  let bytes = ObjectIdentifier([UInt8].self)
  let floats = ObjectIdentifier([Float].self)
  let int32s = ObjectIdentifier([Int32].self)
  let bools = ObjectIdentifier([Bool].self)
  let int64s = ObjectIdentifier([Int64].self)
  let int16s = ObjectIdentifier([Int16].self)
  let int8s = ObjectIdentifier([Int8].self)
  let uints = ObjectIdentifier([UInt].self)
  let uint64s = ObjectIdentifier([UInt64].self)
  let uint32s = ObjectIdentifier([UInt32].self)
  let uint16s = ObjectIdentifier([UInt16].self)

  static let known = RawArrayTypes()

  func kind(of type: ObjectIdentifier) -> ElementKind? {
    if type == doubles { return .float64 }
    if type == ints { return .int64 }
    if type == bytes { return .uint8 }
    if type == floats { return .float32 }
    if type == int32s { return .int32 }
    if type == bools { return .bool }
    if type == int64s { return .int64 }
    if type == int16s { return .int16 }
    if type == int8s { return .int8 }
    if type == uints { return .uint64 }
    if type == uint64s { return .uint64 }
    if type == uint32s { return .uint32 }
    if type == uint16s { return .uint16 }
    return nil
  }
}
