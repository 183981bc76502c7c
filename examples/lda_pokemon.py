"""LDA is a relative: it knows the labels, PCA and autoencoders do not.

    python examples/lda_pokemon.py Pokemon.csv --output pokemon.png

The table has a row for each Pokémon, with the columns "Type 1", "Type 2", "HP", "Attack", "Defense",
"Sp. Atk", "Sp. Def" and "Speed" (the one called "Pokemon with stats", from Kaggle, is such a table). Those of
a single type are kept. Three ways from six numbers to two are pictured beside each other, and how strongly
each number goes into LDA's two axes.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder
from isthmus.metrics import neighbors_accuracy
from isthmus.plots import LIGHT, save

NUMBERS = ("HP", "Attack", "Defense", "Sp. Atk", "Sp. Def", "Speed")
FEWEST = 10  # of a type, for its mean to say something
NAMED = 5  # types that lie farthest apart have their names in the picture


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return six numbers and the type of each Pokémon that has a single one."""
    with path.open(encoding="utf-8", newline="") as file:
        single = [row for row in csv.DictReader(file) if row["Type 1"] and not row["Type 2"].strip()]
    known = [(row["Type 1"], numbers) for row in single if (numbers := six_numbers(row)) is not None]
    counts = Counter(name for name, _ in known)
    kept = [(name, numbers) for name, numbers in known if counts[name] >= FEWEST]
    return np.array([numbers for _, numbers in kept]), np.array([name for name, _ in kept])


def six_numbers(row: dict[str, str]) -> list[float] | None:
    """Return the numbers of a row; some copies of the table lack cells, one of which the total gives back."""
    numbers = {name: float(row[name]) for name in NUMBERS if row[name]}
    missing = [name for name in NUMBERS if name not in numbers]
    if len(missing) == 1 and row.get("Total"):
        numbers[missing[0]] = float(row["Total"]) - sum(numbers.values())
    return [numbers[name] for name in NUMBERS] if len(numbers) == len(NUMBERS) else None


def project(X: np.ndarray, y: np.ndarray) -> tuple[dict[str, np.ndarray], LinearDiscriminantAnalysis]:
    """Return two numbers for each row, by LDA, PCA and an autoencoder."""
    lda = LinearDiscriminantAnalysis(n_components=2).fit(X, y)
    autoencoder = Autoencoder(
        2, hidden_layers=(32,), code_activation="identity", scale="none", epochs=200, random_state=0
    ).fit(X)
    return {
        "LDA, which knows the types": lda.transform(X),
        "PCA": PCA(2).fit_transform(X),
        "autoencoder 6-32-2": autoencoder.transform(X),
    }, lda


def picture(places: dict[str, np.ndarray], y: np.ndarray, lda: LinearDiscriminantAnalysis) -> Figure:
    """Return the projections in a row, and LDA's coefficients below."""
    figure = Figure(figsize=(10, 6.4), facecolor=LIGHT.background)
    grid = figure.add_gridspec(
        2, 3, height_ratios=(3, 1.5), hspace=0.32, wspace=0.12, left=0.08, right=0.98, top=0.94, bottom=0.09
    )
    lead = next(iter(places.values()))
    means = {name: lead[y == name].mean(axis=0) for name in np.unique(y)}
    named = sorted(means, key=lambda name: -np.square(means[name]).sum())[:NAMED]
    for column, (title, points) in enumerate(places.items()):
        scatter(figure.add_subplot(grid[0, column]), title, points, y, named)
    coefficients(figure.add_subplot(grid[1, :]), lda.scalings_[:, :2])
    return figure


def scatter(axes: Axes, title: str, points: np.ndarray, y: np.ndarray, named: list[str]) -> None:
    """Draw one projection, with the names of some types at their means."""
    axes.set_title(title, loc="left", fontsize=11)
    axes.scatter(*points.T, s=7, color="#c4c9d0", linewidths=0)
    for number, name in enumerate(named):
        members = points[y == name]
        colour = f"C{number}"
        axes.scatter(*members.T, s=9, color=colour, alpha=0.55, linewidths=0)
        axes.annotate(
            name, members.mean(axis=0), ha="center", va="center", fontsize=9, weight="bold", color=colour,
            bbox={"boxstyle": "round,pad=.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
        )  # fmt: skip
    low, high = np.quantile(points, (0.01, 0.99), axis=0)
    margin = 0.12 * (high - low)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    axes.set(xticks=[], yticks=[])


def coefficients(axes: Axes, scalings: np.ndarray) -> None:
    """Draw what each number contributes to both axes."""
    places = np.arange(len(NUMBERS))
    for axis, colour in enumerate(("C0", "C1")):
        axes.bar(
            places + 0.36 * axis - 0.18, scalings[:, axis], width=0.34, color=colour, label=f"axis {axis + 1}"
        )
    axes.axhline(0, color="#5d6670", linewidth=0.8)
    axes.set_xticks(places, NUMBERS)
    axes.set_ylabel("coefficient")
    axes.set_title("What goes into LDA's axes, for numbers of variance 1", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=9, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Read, project, count and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--output", type=Path, default=Path("pokemon.png"))
    arguments = parser.parse_args()
    values, y = read(arguments.table)
    X = StandardScaler().fit_transform(values)
    accuracy = cross_val_score(
        make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()), values, y, cv=5
    ).mean()
    share = Counter(y).most_common(1)[0][1] / len(y)
    print(f"{len(y)} Pokémon of {len(set(y))} types; the largest type has {share:.1%} of them.")
    print(f"LDA, all axes, names the type of {accuracy:.1%} in five-fold cross-validation.")
    places, lda = project(X, y)
    for title, points in places.items():
        print(f"{title}: {neighbors_accuracy(points, y):.1%} have the type of their nearest neighbour.")
    save(picture(places, y, lda), arguments.output)


if __name__ == "__main__":
    main()
