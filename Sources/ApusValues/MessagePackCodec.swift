public import Transport

/// What the two clients and the kernels agree on of requests whose values are MessagePack (docs/codecs.md).
public enum MessagePackCodec {
  /// The name of the form in a message's metadata.
  public static let name = "msgpack"
  /// The metadata of a request without other members.
  public static let metadata = Frame("{\"codec\":\"msgpack\"}")
  /// Arrays and bytes from this size on are frames of their own.
  public static let outOfBand = 65_536
}
