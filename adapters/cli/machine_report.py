"""What `minibert doctor` prints."""

from collections.abc import Sequence
from statistics import median

from adapters.show import facts, table
from minibert.machine.doctor import Diagnosis


def describe_machine(found: Diagnosis) -> str:
    """The machine, its BLAS, what was measured, and what to set."""
    words = {True: "yes", False: "no", None: "unknown"}
    blas = found.blas
    text = facts(
        [
            ("processor", found.processor),
            ("instructions", f"AVX2 {words[found.avx2]}, AVX-512 {words[found.avx512]}"),
            ("system", found.system),
            ("Python", found.python),
            ("NumPy", found.numpy),
            ("BLAS", f"{blas.name} {blas.version}"),
            ("kernels", f"{blas.kernels or 'unknown'}, chosen by {found.chosen_by}"),
            ("threads", f"{found.threads}: {found.threads_by}"),
        ]
    )
    numbers = sorted({1, found.threads})
    rows = [
        (
            speed.kernels + (" (in use)" if speed.kernels == blas.kernels else ""),
            *(_median_range(speed.gflops.get(number, [])) for number in numbers),
        )
        for speed in found.speeds
    ]
    if rows:
        headers = ["kernels", *(f"{n} thread{'s'[: n > 1]}" for n in numbers)]
        text += "\n\nGFLOP/s, float32, 4096 x 768 by 768 x 3072: median (lowest to highest)\n\n"
        text += table(rows, headers)
    return f"{text}\n\n{found.advice}"


def _median_range(values: Sequence[float]) -> str:
    if not values:
        return "did not run"
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"
