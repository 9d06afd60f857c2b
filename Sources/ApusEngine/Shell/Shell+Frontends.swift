import ApusMessaging
public import Transport

extension Shell {
  /// What a Jupyter connection file says, except the key and the names.
  public struct FrontendEndpoints: Sendable {
    public let shell: String
    public let iopub: String
    public let control: String
    public let heart: String
    public let input: String
    /// Signs the messages of frontends as those of the cluster.
    public let key: String
  }

  /// Binds the engine's sockets on loopback, beside their connections to the controller.
  ///
  /// They last until the engine has to connect to another controller. CURVE sockets do not take frontends: they know no keys.
  public func bindFrontends() throws(ZeroMQError) -> FrontendEndpoints {
    let loop = try engine.bindFrontends()
    return FrontendEndpoints(
      shell: try bind(), iopub: try engine.publisher.bind(), control: loop.control, heart: loop.heart, input: loop.input,
      key: engine.configuration.key)
  }
}
