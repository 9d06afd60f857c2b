/// Words among Apus's own parties, about engines that come and go.
extension MessageType {
  /// Of an engine or a launcher: engines take no more tasks, and end when they have none, where that is wanted.
  public static let drainRequest = MessageType("drain_request")
  /// Of the launcher that watches over the cluster: how much there is to do, and what clients wish.
  public static let demandRequest = MessageType("demand_request")
  /// Of a client: so many engines, please; or only what the launcher says of itself.
  public static let scaleRequest = MessageType("scale_request")
}
