import CZeroMQ

/// Messages are allocated by the C library, which keeps what was freed for the next ones.
public enum FreedMemory {
  /// Gives it back to the system. Takes milliseconds: for the end of a burst, not for every message.
  public static func release() { apus_trim_memory() }
}
