import Transport

/// In this module, as in all that Python programs load, `Mutex` is one that survives a fork.
typealias Mutex<Value: ~Copyable> = ForkSafeMutex<Value>
