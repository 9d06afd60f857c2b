"""What measures the peers of `scripts/bench`: see Benchmarks/README.md."""
