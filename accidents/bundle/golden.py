"""Golden requests: accidents with the probabilities that training gave them, to hold a server against.

They come from the bundle's reference, whose probabilities were computed where the model was trained.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from accidents.bundle import Bundle
from accidents.errors import BundleError

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 1e-6  # the largest difference in P(severe) that passes
ROWS = 1_000


@dataclass(frozen=True)
class Golden:
    """Features [n, k] (a column each, NaN where not known) and P(severe) float64 [n] as training gave it."""

    features: pd.DataFrame
    p_severe: npt.NDArray[np.float64]

    def request(self) -> dict[str, Any]:
        """Return the rows as an Open Inference Protocol (V2) request with one tensor; null is not known."""
        rows = self.features.to_numpy(np.float32)
        return {
            "inputs": [
                {
                    "name": "features",
                    "datatype": "FP32",
                    "shape": list(rows.shape),
                    "parameters": {"columns": list(self.features.columns)},
                    "data": [None if math.isnan(value) else value for value in rows.ravel().tolist()],
                }
            ]
        }

    def write(self, path: Path) -> None:
        """Write request and expected probabilities as JSON, for a model deployer."""
        path.write_text(json.dumps({"request": self.request(), "p_severe": self.p_severe.tolist()}))

    def check(self, served: npt.NDArray[np.float64], where: str) -> float:
        """Return the largest difference. Raises BundleError, naming `where`, if it is above TOLERANCE."""
        if served.shape != self.p_severe.shape:
            raise BundleError(f"{where} gave {served.shape} probabilities for {self.p_severe.shape} rows.")
        difference = np.abs(served - self.p_severe)
        worst = int(difference.argmax())
        if not difference[worst] <= TOLERANCE:  # NaN is no pass
            raise BundleError(
                f"{where} gives {served[worst]:.6f} where training gave {self.p_severe[worst]:.6f} "
                f"(golden row {worst}). It was trained by other code or libraries: train again."
            )
        return float(difference[worst])


def make_golden(bundle: Bundle, rows: int = ROWS) -> Golden:
    """Return the first `rows` accidents of a bundle's reference. Raises BundleError if it holds none."""
    import pandas as pd

    reference = pd.read_parquet(bundle.folder / "reference.parquet").head(rows)
    if reference.empty or "p_severe" not in reference:
        raise BundleError(f"The reference of {bundle.folder} has no probabilities. Train again.")
    return Golden(reference[bundle.features], reference["p_severe"].to_numpy(np.float64))


def check_here(bundle: Bundle, golden: Golden) -> float:
    """Return the largest difference, many rows at once and row by row, as a server predicts.

    Raises BundleError if either differs from what training gave.
    """
    matrix = golden.features.to_numpy(np.float32)
    alone = np.array([bundle.predict(matrix[k : k + 1])[0] for k in range(len(matrix))])
    together = golden.check(bundle.predict(matrix), "Predicting many rows at once")
    return max(together, golden.check(alone, "Predicting row by row"))
