"""Systems that run engines, for tests: real ones in a temporary folder, and stand-ins for those that cannot be had."""
