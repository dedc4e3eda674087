"""The reference rows for diamonds: gradient boosting on the training rows that a trial gets.

    python tests/benchmarks/reference_diamonds.py

Scikit-learn's HistGradientBoostingRegressor with its defaults (100 trees of 31 leaves, learning rate
0.1, no early stopping up to 10,000 rows); nothing is tuned. Two losses: absolute error, which is what
MAE asks for, and squared error, the default, which is better on the rare prices. Two kinds of input:
what a trial gets (one-hot), and cut, colour and clarity as grades from worst to best, which suit trees.
"""

import numpy as np
import sklearn
from sklearn.ensemble import HistGradientBoostingRegressor

from dirsweep import metrics
from dirsweep.config import Diamonds
from dirsweep.data import diamonds, load

GRADES = {
    "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
    "color": list("JIHGFED"),
    "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
}


def main() -> None:
    data = load(Diamonds())
    stones = diamonds.read_stones(diamonds.FILE).drop(columns=data.target)
    graded = stones.assign(**{name: stones[name].map(grades.index) for name, grades in GRADES.items()})
    inputs = {
        "one-hot": (data.train.inputs, data.val.inputs),
        "grades": tuple(graded.loc[split.sample].to_numpy(np.float64) for split in (data.train, data.val)),
    }
    shots = ("all", "many", "median", "few")
    print(f"HistGradientBoostingRegressor of scikit-learn {sklearn.__version__}, random_state 0")
    print(f"data {data.hash[:12]}, {len(data.train.label):,} training rows; val MAE and GM in dollars")
    print(f"{'loss':<16}{'inputs':<9}" + "".join(f"{f'{shot} MAE':>12}{'GM':>7}" for shot in shots))
    for loss in ("absolute_error", "squared_error"):
        for kind, (train, val) in inputs.items():
            model = HistGradientBoostingRegressor(loss=loss, random_state=0).fit(train, data.train.label)
            found = metrics.per_shot(model.predict(val), data.val.label, data.val.bin, data.shots)
            figures = "".join(f"{found[f'{shot}/mae']:>12.0f}{found[f'{shot}/gm']:>7.0f}" for shot in shots)
            print(f"{loss:<16}{kind:<9}{figures}")


if __name__ == "__main__":
    main()
