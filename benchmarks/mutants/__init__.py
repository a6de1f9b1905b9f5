"""Random mutants of the code, judged by the tests: `python -m benchmarks.mutants --count 60 --seed 7`."""
