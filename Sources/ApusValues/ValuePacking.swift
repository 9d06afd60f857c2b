/// What a type's `encode(to:)` writes to: the place in the writer where its value begins.
///
/// It holds no state, so it fits an existential without an allocation: whether a container was opened before is seen in the bytes.
struct ValuePacking: Encoder {
  let writer: MessagePackWriter
  let start: Int
  /// The type that is being encoded; `Void` when it is not known.
  let type: Any.Type

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { writer.coder.userInfo }

  func container<Key: CodingKey>(keyedBy _: Key.Type) -> KeyedEncodingContainer<Key> {
    let integerKeys = ObjectIdentifier(Key.self) == dictionaryKey && type is any IntegerKeyed.Type
    return KeyedEncodingContainer(
      KeyedPacking<Key>(writer: writer, header: writer.open(0x80, at: start), hasIntegerKeys: integerKeys))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer { UnkeyedPacking(writer: writer, header: writer.open(0x90, at: start)) }

  func singleValueContainer() -> any SingleValueEncodingContainer { SinglePacking(writer: writer, start: start) }
}

/// A dictionary whose keys are integers in Swift as in Python. (By their coding keys alone `[Int: T]` and `[String: T]` with the
/// key "5" cannot be told apart.)
private protocol IntegerKeyed {}
extension Dictionary: IntegerKeyed where Key == Int {}

/// The standard library's internal type of a dictionary's keys: only for this one is it worth while to look at the dictionary's
/// own type.
private let dictionaryKey: ObjectIdentifier? = {
  let probe = KeyTypeProbe()
  try? [0: 0].encode(to: probe)
  return probe.found.value
}()

private struct KeyTypeProbe: Encoder {
  final class Found { var value: ObjectIdentifier? }
  let found = Found()
  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy _: Key.Type) -> KeyedEncodingContainer<Key> {
    found.value = ObjectIdentifier(Key.self)
    return ValuePacking(writer: MessagePackWriter(), start: 0, type: Void.self).plainContainer()
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer { UnkeyedPacking(writer: MessagePackWriter(), header: 0) }
  func singleValueContainer() -> any SingleValueEncodingContainer { SinglePacking(writer: MessagePackWriter(), start: 0) }
}

extension ValuePacking {
  /// Without the question for the key's type, which the probe is there to answer.
  fileprivate func plainContainer<Key: CodingKey>() -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(KeyedPacking<Key>(writer: writer, header: writer.open(0x80, at: start), hasIntegerKeys: false))
  }
}
