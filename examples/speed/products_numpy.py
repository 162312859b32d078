"""One matrix product by NumPy's OpenBLAS, measured.

    python products_numpy.py KERNEL TOKENS OUT IN RANK RUNS

KERNEL is one of those of `bdlora bench kernels`: forward and backward of a linear with
weights [OUT, IN], or a formula of an adapter of that linear. It is timed like there: a
run to warm up, as many repeats a run as make it long enough for the clock, and the
median of RUNS. Printed is one JSON object with the seconds and OpenBLAS's kernel.
"""

import json
import statistics
import sys
import time
from typing import Callable

import numpy
from threadpoolctl import threadpool_info

SHORTEST = 2e-3  # seconds of a run


def product(kernel: str, tokens: int, out: int, width: int, rank: int) -> Callable[[], object]:
    """The product as a function without arguments; it writes to memory that is there."""
    def matrix(rows: int, columns: int) -> numpy.ndarray:
        return numpy.random.default_rng(1).random((rows, columns), dtype=numpy.float32) - 0.5

    left, right, result = {
        "forward": lambda: (matrix(tokens, width), matrix(out, width).T, (tokens, out)),
        "backward": lambda: (matrix(tokens, out), matrix(out, width), (tokens, width)),
        "x·Aᵀ": lambda: (matrix(tokens, width), matrix(rank, width).T, (tokens, rank)),
        "h·Bᵀ": lambda: (matrix(tokens, rank), matrix(out, rank).T, (tokens, out)),
        "dy·B": lambda: (matrix(tokens, out), matrix(out, rank), (tokens, rank)),
        "dh·A": lambda: (matrix(tokens, rank), matrix(rank, width), (tokens, width)),
        "dhᵀ·x": lambda: (matrix(tokens, rank).T, matrix(tokens, width), (rank, width)),
        "dyᵀ·h": lambda: (matrix(tokens, out).T, matrix(tokens, rank), (out, rank)),
    }[kernel]()
    destination = numpy.empty(result, dtype=numpy.float32)
    return lambda: numpy.matmul(left, right, out=destination)


def seconds(run: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


def median_seconds(run: Callable[[], object], runs: int) -> float:
    repeats = 1
    while seconds(run, repeats) * repeats < SHORTEST:
        repeats *= 2
    return statistics.median(seconds(run, repeats) for _ in range(runs))


def main() -> None:
    kernel, *sizes = sys.argv[1:]
    tokens, out, width, rank, runs = map(int, sizes)
    blas = next(info for info in threadpool_info() if info["internal_api"] == "openblas")
    print(json.dumps({"seconds": median_seconds(product(kernel, tokens, out, width, rank), runs),
                      "version": blas["version"], "kernel": blas["architecture"], "threads": blas["num_threads"]}))


if __name__ == "__main__":
    main()
