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
}
