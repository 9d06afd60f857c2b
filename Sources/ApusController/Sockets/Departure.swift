import Synchronization
import Transport

/// A message on its way out of this process: it has left when libzmq has taken it, and let go of its last frame. It does so when the system has that,
/// or when it has copied or encrypted it for its next write to the connection, which then is all that is still to be written of a small message; of
/// an encrypted large one it may be everything. What libzmq refuses is let go of as well.
final class Departure: Sendable {
  typealias Action = @Sendable () -> Void

  private let count = Atomic(0)
  private let action: Action

  init(_ action: @escaping Action) { self.action = action }

  /// The same frames, the last one lent to libzmq in a way that tells of its end.
  func watching(_ frames: ArraySlice<Frame>) -> ArraySlice<Frame> {
    var frames = frames
    guard let last = frames.indices.last else { return frames }
    frames[last] = frames[last].watched { [self] in happened() }
    return frames
  }

  func wasTaken() { happened() }

  private func happened() { if count.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == 2 { action() } }
}
