"""Examples run, and what they print is true."""

import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent.parent / "examples"
COLUMNS = ["Name", "Type 1", "Type 2", "Total", "HP", "Attack", "Defense", "Sp. Atk", "Sp. Def", "Speed"]


def test_lda_on_types_that_are_far_apart(tmp_path):
    rng = np.random.default_rng(0)
    lines = [",".join(COLUMNS)]
    for place, name in enumerate(["Fire", "Water", "Grass", "Rare"]):
        for number in range(2 if name == "Rare" else 30):
            values = rng.integers(40, 60, size=6) + 60 * place * np.array([1, 0, 1, 0, 0, 1])
            cells = [str(value) for value in values]
            cells[number % 6] = "" if number % 5 == 0 else cells[number % 6]  # which the total gives back
            lines.append(",".join([f"{name}{number}", name, "", str(values.sum()), *cells]))
        lines.append(",".join(["Both", name, "Flying", "300", *["50"] * 6]))
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "lda_pokemon.py"), str(table), "--output", str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "90 Pokémon of 3 types; the largest type has 33.3% of them." in done.stdout
    assert "names the type of 100.0%" in done.stdout
    assert "LDA, which knows the types: 100.0% have the type of their nearest neighbour" in done.stdout
    assert "PCA: 100.0% have the type of their nearest neighbour" in done.stdout
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
