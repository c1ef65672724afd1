"""Results: the figures of a benchmark, and what follows from them. Numpy only."""
