"""The compute server: benchmarks itself, announces itself, verifies, runs, answers."""
