"""How fast a model predicts, from text to probabilities."""

import time

from .setting import Bench, matrix_rate, num_parameters, synchronize, utilisation, window_lengths
from .steps import fresh_memory


def measure(bench: Bench) -> None:
    """Add a row for a first and a second call on the same examples."""
    trainer = bench.trainer()
    qa = trainer.qa
    examples = bench.pool()[: bench.size.predicted]
    tokens = sum(map(sum, window_lengths(trainer, examples)))
    parameters, rate = num_parameters(qa), matrix_rate(qa.device, bench.size.matrix)

    def predict() -> dict:
        with fresh_memory() as memory:
            synchronize()
            started = time.perf_counter()
            predicted = sum(1 for _ in qa.predictions(examples))
            seconds = time.perf_counter() - started
            return {
                "examples": predicted, "seconds": seconds, "examples_a_second": predicted / seconds,
                "ms_an_example": 1e3 * seconds / predicted,
                "utilisation": utilisation(2, parameters, tokens, seconds, rate), "peak_GiB": memory(),
            }  # fmt: skip

    for call in ("first", "second"):
        bench.rows.measure(10, predict, call=call)
