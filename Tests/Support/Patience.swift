import Glibc

/// How much more time things get than they need where nothing slows them down: `APUS_TEST_PATIENCE`, a whole number. 1 without it;
/// `scripts/test` sets it, because a machine may have much else to do, and `scripts/check --sanitize` does, because a sanitizer makes everything
/// 5 to 20 times slower.
///
/// It is a factor of periods of heartbeats and of limits of time, never of what a test measures or merely waits out.
public let patience: Int = getenv("APUS_TEST_PATIENCE").flatMap { Int(String(cString: $0)) }.map { max(1, $0) } ?? 1
