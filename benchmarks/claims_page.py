"""docs/claims.md from numbers; what is said follows from them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import mean, stdev
from typing import Any

from recording import HERE

Row = dict[str, Any]
Runs = dict[str, list[Row]]
SHOWN_ERRORS = (0.3, 16.0)  # what lies beyond is not looked at, or cannot be told apart
PAGE = HERE.parent / "docs" / "claims.md"

HEADER = """# The notebook's claims, measured

Teaching notebooks on autoencoders make a number of claims in passing. Each claim is tested here by an experiment on
MNIST (60,000 training images and 10,000 test images unless a section says otherwise), with numbers and a verdict.
`make claims` repeats all experiments and writes this page. The squared error (SSE) of an image is the sum over its
pixels, which lie in [0, 1]; the tables show the mean over the test images. The test images are not used to choose
anything. Where an experiment was run with several seeds, the tables show mean and standard deviation.
"""

#: The tutorial that most such notebooks follow, and whose words are quoted.
BLOG = "[*Building Autoencoders in Keras*](https://blog.keras.io/building-autoencoders-in-keras.html) (F. Chollet, 2016)"


def write_page(kept: dict[str, Any], pretraining: dict[str, Any]) -> None:
    """Write the page from what was measured; sections without numbers are left out."""
    sections: dict[str, Callable[[Runs], list[str]]] = {
        "rbm": _rbm,
        "pca": _pca,
        "lda": _lda,
        "sparse": _sparse,
        "deep": _deep,
        "bytes": _bytes,
        "lossless": _lossless,
        "speed": _speed,
        "maps": _maps,
    }
    lines = [HEADER]
    for name, section in sections.items():
        if name in kept:
            lines += [*section(kept[name]["runs"]), "", _made(name, kept[name]), ""]
        if name == "lda":
            lines += [*_pretraining(pretraining["gain"]), ""]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _made(name: str, entry: dict[str, Any]) -> str:
    seeds = ", ".join(entry["runs"])
    command = f"`python benchmarks/claims.py --only {name} --seeds {seeds.replace(',', '')}`"
    return f"{command}, {entry['minutes']} minutes, {entry['made']}: {entry['machine']}."


def _rbm(runs: Runs) -> list[str]:
    values = _by_model(runs)
    machine, layer = (mean(values[name]["sse"]) for name in ("RBM-32", "single layer, 32"))
    return [
        "## “Restricted Boltzmann machines are the earliest kind”",
        "",
        _table(runs, {"sse": 2, "seconds": 1}),
        "",
        "**Verdict: they are as old, and a kind only in use.** Smolensky's machine (1986) and the autoencoder of "
        "Rumelhart, Hinton and Williams (1986) are of the same year. A machine has the shape of a tied single layer "
        f"and can be read as one, but is trained for likelihood, not for copies: its squared error is {machine:.1f}, "
        f"that of a single layer of the same width {layer:.1f}.",
    ]


def _pca(runs: Runs) -> list[str]:
    values = _by_model(runs)
    linear = mean(values["linear, 30"]["sse"]) / mean(values["PCA-30"]["sse"]) - 1
    angle = max(values["linear, 30"]["largest angle"])
    gain = 1 - mean(values["single layer, 32"]["sse"]) / mean(values["PCA-32"]["sse"])
    holds = linear <= 0.005 and angle < 10
    return [
        "## “A single layer comes close to PCA”",
        "",
        _table(runs, {"sse": 3, "largest angle": 1}),
        "",
        f"**Verdict: {'true of a linear one' if holds else 'only roughly true, even of a linear one'}; the notebook's "
        f"own is better.** Without an activation the error is {linear:.2%} above PCA's, and what the decoder spans is at "
        f"most {angle:.1f} degrees off the components (Baldi and Hornik, 1989). The notebook's layer, with ReLU codes "
        f"and a sigmoid at the end, leaves {gain:.0%} less error than PCA of its width: it knows that pixels end at 0 "
        "and 1.",
    ]


def _lda(runs: Runs) -> list[str]:
    values = _by_model(runs)
    lda, pca, deep = (values[name] for name in ("LDA-9", "PCA-9", "deep, 9"))
    return [
        "## “LDA is a relative”",
        "",
        _table(runs, {"sse": 2, "1-NN": 3, "probe": 3, "separability": 2}),
        "",
        "**Verdict: of PCA in its form, of neither in its aim.** LDA finds a linear code as PCA does, but for labels, "
        f"and it copies badly: {mean(lda['sse']):.0f} against {mean(pca['sse']):.0f}. Among linear codes of nine numbers "
        f"it tells the digits best: {mean(lda['probe']):.1%} against {mean(pca['probe']):.1%} for a linear probe. A deep "
        f"autoencoder of the same width, which has seen no label, comes to {mean(deep['probe']):.1%} linearly and to "
        f"{mean(deep['1-NN']):.1%} by nearest neighbours (LDA {mean(lda['1-NN']):.1%}). `examples/lda_pokemon.py` "
        "pictures the three side by side.",
    ]


def _sparse(runs: Runs) -> list[str]:
    values = {
        name: {key: mean(numbers) for key, numbers in row.items()} for name, row in _by_model(runs).items()
    }
    notebook, free, strong = (values[f"32, {what}"] for what in ("L1 1e-4", "no penalty", "L1 1e-3"))
    rivals = {name: name.replace("L1", "k-sparse as L1") for name in values if ", L1" in name}
    better = sum(values[rival]["sse"] < values[name]["sse"] for name, rival in rivals.items())
    wide = values["512, L1 1e-4"]
    return [
        "## “L1 makes only certain nodes fire”",
        "",
        f"{BLOG} adds an L1 penalty on the codes, “so fewer units would ‘fire’ at a given time”. Here a single ReLU layer "
        "is trained for 15 epochs on the first 10,000 training images, without a penalty and with three weights (1e-4 is "
        "the blog's). A k-sparse autoencoder with as many active units as the penalty leaves on average is trained beside "
        "each. *Zeros* is the share of all codes of the test images that are exactly zero, *active* the mean number of "
        "units per image that are not, and *dead* the number of units that are zero for every image.",
        "",
        _table(runs, {"zeros": 3, "active": 1, "dead": 0, "sse": 2}),
        "",
        f"**Verdict: hardly at the blog's own settings; it does with more weight or more units, at a price.** With 32 "
        f"units and 1e-4, {notebook['zeros']:.1%} of the codes are zero, against {free['zeros']:.1%} without a penalty. "
        f"{notebook['active']:.1f} of 32 units are active for an image, and the squared error is {notebook['sse']:.2f} "
        f"instead of {free['sse']:.2f}. Ten times the weight leaves {strong['active']:.1f} active units, but "
        f"{strong['dead']:.0f} of the others are dead: it removes units for all images instead of choosing some for each. "
        f"With 512 units and 1e-4, {wide['zeros']:.0%} of the codes are zero. With equally many active units the "
        f"k-sparse autoencoder has the smaller error in {better} of {len(rivals)} cases.",
    ]


def _deep(runs: Runs) -> list[str]:
    values = {
        name: {key: mean(numbers) for key, numbers in row.items()} for name, row in _by_model(runs).items()
    }
    single, deep = ([values[f"{name}, {n} epochs"] for n in (10, 100)] for name in ("single", "512-256"))
    middle = [values[f"128-64, {n} epochs"] for n in (10, 100)]
    slower = deep[1]["seconds"] / single[1]["seconds"]
    measures = {"class share": 1, "correlation": -1, "locality": 1}
    less = [name for name, sign in measures.items() if sign * deep[1][name] < sign * single[1][name]]
    more = [name for name in measures if name not in less]
    said = " and ".join(
        f"{how} readable by {', '.join(names)}" for how, names in (("less", less), ("more", more)) if names
    )
    readable = "only by some measures" if less and more else "yes" if less else "no"
    gains = [[one[when]["sse"] < single[when]["sse"] for one in (middle, deep)] for when in (0, 1)]
    better = (
        "better, yes"
        if all(gains[0])
        else "better after long training"
        if all(gains[1])
        else "better, not always"
    )
    return [
        "## “Deep: longer training, less readable codes, better reconstructions”",
        "",
        f"{BLOG} trains its deep network for 100 epochs and finds its loss “a bit better than our previous models”. Here "
        "a single layer and networks with two hidden layers on each side (128 and 64 units as in the blog, and 512 and "
        "256) have 32 code units each. They are trained on the first 10,000 training images, for 10 and for 100 epochs, "
        "with a learning rate that falls to zero at the end. How readable a code is has no agreed measure. Three simple "
        "ones are shown, each a mean over the code units:",
        "",
        "- *class share*: the share of a unit's variance over the test images that lies between the ten digits. It is 1 "
        "for a unit that depends on the digit alone.",
        "- *correlation*: the absolute correlation of a unit with each of the others. It is 0 for units that say "
        "different things.",
        "- *locality*: when one unit is moved by a standard deviation from the mean code, the share of the squared change "
        "of the picture that lies in the tenth of the pixels that change most. It is 1 for a unit that paints one spot.",
        "",
        _table(runs, {"seconds": 1, "sse": 2, "class share": 3, "correlation": 3, "locality": 3}),
        "",
        f"**Verdict: longer, yes; {better}; less readable, {readable}.** An epoch of the large network takes "
        f"{slower:.0f} times as long as one of the single layer. The single layer's error is {single[0]['sse']:.2f} after "
        f"10 epochs and {single[1]['sse']:.2f} after 100, the large network's {deep[0]['sse']:.2f} and "
        f"{deep[1]['sse']:.2f}, and that of the blog's smaller network {middle[0]['sse']:.2f} and {middle[1]['sse']:.2f}. "
        f"After 100 epochs the codes of the large network are {said}.",
    ]


def _pretraining(gain: list[Row]) -> list[str]:
    errors: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    for row in gain:
        errors[row["era"], row["start"], row["labels"]].append(row["error"])
    labels = sorted({key[2] for key in errors}, reverse=True)
    lines = [
        "| era | start | " + " | ".join(f"{n:,} labels" for n in labels) + " |",
        "|---" * (2 + len(labels)) + "|",
    ]
    for era, start in dict.fromkeys(key[:2] for key in errors):
        cells = [_spread(errors[era, start, n], 2) for n in labels]
        lines.append(f"| {era} | {start} | " + " | ".join(cells) + " |")
    old = mean(errors["2006", "random", 60_000]) - min(
        mean(values) for key, values in errors.items() if key[0] == "2006" and key[2] == 60_000
    )
    new = {
        n: mean(errors["modern", "random", n])
        - min(mean(values) for key, values in errors.items() if key[0] == "modern" and key[2] == n)
        for n in (60_000, 100)
    }
    return [
        "## “They serve for pretraining, which better optimisers have made unnecessary”",
        "",
        "Test error in %, three seeds; `python benchmarks/pretraining.py`, whose details are in "
        "[RESULTS.md](../benchmarks/RESULTS.md).",
        "",
        *lines,
        "",
        f"**Verdict: both true, each in its time.** With the means of 2006 pretraining takes {old:.1f} points of error "
        f"off with all labels. With ReLU and Adam {new[60_000]:.1f} points are left of that, but "
        f"{new[100]:.0f} with 100 labels: where labels are few it is still worth it.",
    ]


def _bytes(runs: Runs) -> list[str]:
    (rows,) = runs.values()
    points = [row for row in rows if "bd" not in row]
    lines = ["| | bits per pixel | SSE | model |", "|---|---|---|---|"]
    for row in points:
        if SHOWN_ERRORS[0] <= row["sse"] <= SHOWN_ERRORS[1]:
            size = f"{row['model_bytes'] / 1e6:.2f} MB" if row["model_bytes"] else ""
            lines.append(f"| {row['name']} | {row['bits_per_value']:.3f} | {row['sse']:.2f} | {size} |")
    mosaic = [row for row in points if "single files" not in row["name"]]
    good = [row for row in mosaic if row["kind"] == "model" and row["sse"] <= 4.5]
    best = min(good, key=lambda row: row["bits_per_value"])
    alone = next(row for row in points if row["name"] == "deep, 32, single files")
    rival = _nearest(points, "webp, single files", alone)
    rates = {(row["name"], row["against"]): row["bd_rate"] for row in rows if "bd" in row}
    trained = ", ".join(_savings(rates, "deep, 32, trained for its bytes"))
    saved = (_nearest(points, "webp", best)["bits_per_value"] - best["bits_per_value"]) * 784 / 8
    return [
        "## “No better than JPEG at compression”",
        "",
        "The test images as real bytes. Codecs have them all in one mosaic, which spares them 10,000 headers; with single "
        "files (of 1,000 images) those count, ours among them. A model's own size is told beside and not in the bits.",
        "",
        *lines,
        "",
        f"**Verdict: of what it was trained on it is far better, and of nothing else.** “{best['name']}” comes to a "
        f"squared error of {best['sse']:.2f} with {best['bits_per_value']:.3f} bits per pixel. At equal error (Bjøntegaard) "
        f"the deep one takes {', '.join(_savings(rates, 'deep, 32'))}; trained for its bytes {trained}. One image in a file "
        f"of its own takes {alone['bits_per_value']:.1f} bits per pixel with an error of {alone['sse']:.1f}, WebP's "
        f"{rival['bits_per_value']:.1f} with {rival['sse']:.1f}. But the model itself has {best['model_bytes'] / 1e6:.1f} "
        f"MB: beside WebP's mosaic at about that error it has paid for itself after {best['model_bytes'] / saved:,.0f} "
        "images. And a photograph is no digit: there the codecs work, and this model does not.",
    ]


def _savings(rates: dict[tuple[str, str], float | None], name: str) -> list[str]:
    return [
        f"{-rate:.0%} fewer bytes than {codec}"
        for (own, codec), rate in rates.items()
        if own == name and rate is not None and "single files" not in codec
    ]


def _nearest(points: list[Row], name: str, to: Row) -> Row:
    """Return the point of a codec with about the same error."""
    return min((row for row in points if row["name"] == name), key=lambda row: abs(row["sse"] - to["sse"]))


def _lossless(runs: Runs) -> list[str]:
    (rows,) = runs.values()
    lines = ["| | bits per pixel | with the model |", "|---|---|---|"]
    for row in rows:
        whole = f"{row['bits with the model']:.3f}" if "bits with the model" in row else ""
        lines.append(f"| {row['model']} | {row['bits']:.3f} | {whole} |")
    bits = {row["model"]: row["bits"] for row in rows}
    best = min((row for row in rows if "model bytes" in row), key=lambda row: row["bits"])
    return [
        "### Without any loss",
        "",
        *lines,
        "",
        f"Bit for bit the deep model's codes and what they leave take {best['bits']:.3f} bits, LZMA {bits['lzma']:.3f}. "
        f"With the model's own weights in the file it would be {best['bits with the model']:.3f}: 10,000 images are too "
        f"few to pay for it. Without any model, from the pixels to the left and above alone, the same coder comes to "
        f"{bits['no model']:.3f}.",
    ]


def _speed(runs: Runs) -> list[str]:
    (rows,) = runs.values()
    values = {row["model"]: row for row in rows}
    overhead = values["bytes over the entropy of the codes"]["overhead"]
    return [
        "### Speed",
        "",
        f"The notebook's net compresses {values['compress']['MB/s']:.0f} MB of pixels a second and decompresses "
        f"{values['decompress']['MB/s']:.0f}, coding included. The file, header and all, is {overhead:.2%} larger than the "
        "entropy of the rounded codes.",
    ]


def _maps(runs: Runs) -> list[str]:
    values = _by_model(runs)
    order = sorted(values, key=lambda name: -mean(values[name]["1-NN"]))
    ae, raw = values["AE-32"], values["pixels"]
    faster = mean(raw["map seconds"]) / mean(ae["map seconds"])
    return [
        "## “Today they feed t-SNE”",
        "",
        "t-SNE of the 10,000 test images (openTSNE, perplexity 30), after a deep autoencoder and after PCA, both fitted "
        "on the training images, and of the pixels.",
        "",
        _table(
            runs, {"1-NN": 4, "trustworthiness": 4, "silhouette": 3, "fitting seconds": 1, "map seconds": 0}
        ),
        "",
        f"**Verdict: they can, and here it {'helps' if order[0] == 'AE-32' else 'does not help'}.** By the nearest "
        f"neighbour's label the order is {', '.join(order)}: {mean(ae['1-NN']):.2%} after the autoencoder, "
        f"{mean(values['PCA-50']['1-NN']):.2%} after PCA-50, {mean(raw['1-NN']):.2%} of the pixels. The pixels' own "
        f"neighbourhoods are kept best by {max(values, key=lambda name: mean(values[name]['trustworthiness']))}. A map "
        f"of 32 codes takes {1 / faster:.2f} times as long as one of the pixels, {'so that speed is no reason' if faster < 1.5 else 'which saves time'}; training the "
        f"autoencoder took {mean(ae['fitting seconds']):.0f} s. Times were taken beside other work.",
    ]


def _by_model(runs: Runs) -> dict[str, dict[str, list[float]]]:
    """Return for each model and measure the values of all seeds."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for rows in runs.values():
        for row in rows:
            for key, value in row.items():
                if key != "model":
                    found[row["model"]][key].append(value)
    return found


def _table(runs: Runs, digits: dict[str, int]) -> str:
    lines = ["| | " + " | ".join(digits) + " |", "|---" * (1 + len(digits)) + "|"]
    for name, values in _by_model(runs).items():
        cells = [_spread(values[key], places) if key in values else "" for key, places in digits.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int) -> str:
    if len(values) == 1 or max(values) - min(values) < 0.5 * 10**-digits:
        return f"{mean(values):.{digits}f}"
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"
