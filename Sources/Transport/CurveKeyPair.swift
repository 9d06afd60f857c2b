import CZeroMQ

/// A CURVE key pair in Z85 text, as connection files carry it.
public struct CurveKeyPair: Sendable, Hashable {
  public let publicKey: String
  public let secretKey: String

  public init(publicKey: String, secretKey: String) {
    self.publicKey = publicKey
    self.secretKey = secretKey
  }

  /// - Throws: `ENOTSUP` where libzmq was built without CURVE.
  public static func generate() throws(ZeroMQError) -> CurveKeyPair {
    var publicKey = [CChar](repeating: 0, count: 41)
    var secretKey = publicKey
    guard zmq_curve_keypair(&publicKey, &secretKey) == 0 else { throw ZeroMQError.last("generate a CURVE key pair") }
    return CurveKeyPair(publicKey: text(publicKey), secretKey: text(secretKey))
  }

  /// The public key that belongs to a secret one.
  public static func publicKey(of secretKey: String) throws(ZeroMQError) -> String {
    guard secretKey.utf8.count == 40 else { throw ZeroMQError(code: EINVAL, action: "a CURVE key has 40 characters") }
    var publicKey = [CChar](repeating: 0, count: 41)
    guard zmq_curve_public(&publicKey, secretKey) == 0 else { throw ZeroMQError.last("derive a CURVE public key") }
    return text(publicKey)
  }

  private static func text(_ key: [CChar]) -> String {
    String(decoding: key.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
