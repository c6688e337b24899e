"""Takes trained 2D networks into the package: ``python -m pipelines.models [RUN...]``.

RUN is a folder that `medsr train` left. Its weights go to medsr/models/weights, and the card of its model in
medsr/models/slices gets what they are: checksum, scale, stage, patches seen, seed, gain on the selection subjects.
All cards get the figures of the test heads that pipelines/benchmarks/models.json has of the very same weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from medsr.models.slices import Model, Weights, models, weights_folder
from medsr.models.tensors import sha256_of
from medsr.models.weights import read_weights
from medsr.networks import NETWORKS
from medsr.networks.count import parameters
from medsr.training.slices.recipe import read_recipe

ROWS = Path(__file__).parent / "benchmarks" / "models.json"
CARDS = Path(__file__).parents[1] / "medsr" / "models" / "slices"


def main() -> None:
    """Takes each run in; writes the figures onto the cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", type=Path)
    for run in parser.parse_args().runs:
        take(run)
    rows = json.loads(ROWS.read_text(encoding="utf-8")) if ROWS.exists() else []
    for name, card in models().items():
        write_card(name, [replace(w, figures=figures(w, rows)) for w in card.weights], card.data)


def figures(weights: Weights, rows: list[dict[str, Any]]) -> dict[str, float]:
    """What the benchmark's rows say of these weights and no others."""
    found: dict[str, float] = {}
    splines = {(r["head"], r["mode"]): r["psnr"] for r in rows if r["name"] == "spline"}
    for row in rows:
        if row.get("sha256") == weights.sha256:
            found[f"{row['head']} PSNR"] = round(row["psnr"], 2)
            if (base := splines.get((row["head"], row["mode"]))) is not None:
                found[f"{row['head']} over spline"] = round(row["psnr"] - base, 2)
    return found


def take(run: Path) -> None:
    """Copies the weights of one run and writes its model's card again."""
    (source,) = [p for p in run.glob("*.safetensors") if p.name != "checkpoint.safetensors"]
    network = read_weights(source)
    about = metadata(source)
    log: list[dict[str, Any]] = json.loads((run / "log.json").read_text(encoding="utf-8"))
    kept = log[-1] if about["stage"] == "final" else max(log, key=lambda entry: entry["gain_db"])
    weights = Weights(
        file=source.name,
        sha256=sha256_of(source),
        scale=network.scale,
        stage=about["stage"],
        recipe=source.stem,
        seed=int(about["seed"]),
        patches=int(about["patches"]),
        parameters=parameters(network),
        gain_db=round(kept["gain_db"], 3),
    )
    shutil.copyfile(source, weights_folder() / source.name)
    name = about["network"]
    others = [w for w in (models()[name].weights if name in models() else ()) if w.file != source.name]
    write_card(name, [*others, weights], tuple(read_recipe(source.stem)["data"]))
    models.cache_clear()
    print(f"{name}: {source.name}, {weights.gain_db:+.3f} dB over spline on the selection subjects")


def metadata(path: Path) -> dict[str, str]:
    """What a file of weights says of itself."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def write_card(name: str, weights: list[Weights], data: tuple[str, ...]) -> None:
    """The card of a model as TOML."""
    of = NETWORKS[name]
    order = list(NETWORKS).index(name)
    card = Model(name, of.title, of.citation, "Apache-2.0", data, order, tuple(weights))
    lines = [f"{key} = {json.dumps(getattr(card, key), ensure_ascii=False)}" for key in ("name", "order", "title")]
    lines += [f"{key} = {json.dumps(getattr(card, key), ensure_ascii=False)}" for key in ("citation", "licence")]
    lines += ["data = [", *(f"  {json.dumps(d, ensure_ascii=False)}," for d in card.data), "]"]
    for one in sorted(weights, key=lambda w: (w.scale[1], w.stage == "final", w.file)):
        lines += ["", "[[weights]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in vars(one).items() if key != "figures"]
        if one.figures:
            inline = ", ".join(f"{json.dumps(key)} = {value}" for key, value in one.figures.items())
            lines.append(f"figures = {{ {inline} }}")
    (CARDS / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
