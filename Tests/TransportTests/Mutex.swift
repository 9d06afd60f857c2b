import Transport

/// The tested module's: without this, two of the name are seen.
typealias Mutex<Value: ~Copyable> = ForkSafeMutex<Value>
