"""Results: the figures of a benchmark, comparisons of them, and the gate. Numpy only."""
