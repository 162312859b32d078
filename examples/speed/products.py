"""The matrix products of a training step by bdlora and by OpenBLAS: seconds, and their ratios.

    python products.py OUT

Compared are the products of `bdlora bench kernels` for a model's shapes: of each linear
of a layer and of the head y = x·Wᵀ and dx = dy·W, and of an adapter all six. bdlora reads
the weights W as bfloat16, which it unpacks on the way; OpenBLAS, NumPy's, has them in
float32 and ready. Where bdlora's product is added to what is there (h·Bᵀ and dh·A),
NumPy's overwrites it, which is less work.

Contenders run in turn, round after round, each of OpenBLAS's products in a process of
its own, since its threads spin on for a while and disturb whoever comes next. A
product's time is the median over the rounds.

Printed is Markdown. OUT keeps what was measured, so that the same command goes on with
the rest after it was stopped; for another comparison give another folder.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import measure

GROUPS = ("linear", "head", "adapter")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for what was measured")
    parser.add_argument("--bdlora", default="", help="program to measure; built from this repository if not given")
    parser.add_argument("--shape", nargs="+", default=["smollm2-135m", "llama-3.2-1b"],
                        help="models, by `bdlora bench kernels`' names")
    parser.add_argument("--tokens", nargs="+", type=int, default=[512, 2048], help="rows of the activations")
    parser.add_argument("--lora_r", type=int, default=16, help="rank of the adapter")
    parser.add_argument("--runs", type=int, default=1, help="timed runs of a product in a round")
    parser.add_argument("--rounds", type=int, default=5, help="how often to go through all, of which the median counts")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


# Runs.

def run_bdlora(shape: str, tokens: int, arguments: argparse.Namespace, log: Path) -> dict[str, Any]:
    command = [measure.bdlora(arguments.bdlora, arguments.out), "bench", "kernels", "--json", "--shape", shape,
               "--tokens", str(tokens), "--lora_r", str(arguments.lora_r), "--runs", str(arguments.runs),
               "--threads", str(arguments.threads)]
    printed = json.loads(measure.run(command, log, arguments.threads, {})[0])
    products = [p for p in printed["kernels"]["products"] if p["group"] in GROUPS]
    return {"machine": printed["machine"], "products": products}


def run_openblas(products: list[dict[str, Any]], arguments: argparse.Namespace, log: Path) -> list[dict[str, Any]]:
    """The same products, each in a process of its own."""
    def run(p: dict[str, Any]) -> dict[str, Any]:
        sizes = [p["tokens"], p["out"], p["in"], arguments.lora_r, arguments.runs]
        command = [sys.executable, str(measure.EXAMPLES / "products_numpy.py"), p["kernel"], *map(str, sizes)]
        return json.loads(measure.run(command, log, arguments.threads, {})[0])

    return [run(p) for p in products]


def compare(shape: str, tokens: int, arguments: argparse.Namespace,
            store: measure.Results) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The last round of bdlora's, and of each product the medians over the rounds of both."""
    name = f"{shape}-{tokens}"
    log, ours, theirs = arguments.out / "runs" / f"{name}.log", [], []
    for number in range(1, arguments.rounds + 1):
        mine = store.get(f"bdlora-{name}-{number}", lambda: run_bdlora(shape, tokens, arguments, log))
        if not mine:
            continue
        other = store.get(f"openblas-{name}-{number}", lambda: run_openblas(mine["products"], arguments, log))
        if other:
            ours.append(mine)
            theirs.append(other)
    if not ours:
        return {}, []
    rows = [row | {"ours": statistics.median(r["products"][i]["seconds"] for r in ours),
                   "theirs": statistics.median(r[i]["seconds"] for r in theirs)}
            for i, row in enumerate(ours[-1]["products"])]
    return ours[-1]["machine"] | {"openblas": theirs[-1][0]}, rows


# Tables.

def ratio(row: dict[str, Any]) -> float:
    """How many times as fast as OpenBLAS bdlora is."""
    return row["theirs"] / row["ours"]


def details(rows: list[dict[str, Any]]) -> str:
    lines = [[f"{r['group']} {r['kernel']}", f"{r['out']} x {r['in']}", f"{1e3 * r['ours']:.3g}",
              f"{1e3 * r['theirs']:.3g}", f"{r['gflop'] / r['ours']:.0f}", f"{r['gflop'] / r['theirs']:.0f}",
              f"{ratio(r):.2f}x"] for r in rows]
    return measure.table(["product", "out x in", "bdlora ms", "OpenBLAS ms", "bdlora GFLOP/s", "OpenBLAS GFLOP/s",
                          "bdlora's speed"], lines)


def summary(rows: list[dict[str, Any]]) -> str:
    """Geometric mean and least ratio of a group, over all shapes and sizes."""
    lines = []
    for group in GROUPS:
        ratios = [ratio(r) for r in rows if r["group"] == group]
        lines.append([group, str(len(ratios)), f"{statistics.geometric_mean(ratios):.2f}x", f"{min(ratios):.2f}x"])
    return measure.table(["bdlora over OpenBLAS", "products", "geometric mean", "least"], lines)


def main() -> None:
    arguments = parse()
    settings = {key: getattr(arguments, key) for key in ("bdlora", "lora_r", "runs", "threads")}
    store = measure.Results(arguments.out, settings)
    print(measure.machine(arguments.threads, "numpy"))
    rows = []
    for shape in arguments.shape:
        for tokens in arguments.tokens:
            machine, some = compare(shape, tokens, arguments, store)
            if some:
                blas = machine["openblas"]
                print(f"{shape}, {tokens} tokens; bdlora on path {machine['path']}; OpenBLAS {blas['version']} on "
                      f"{blas['kernel']}, {blas['threads']} threads.\n\n{details(some)}", flush=True)
                rows += some
    if rows:
        print(summary(rows))
    store.exit()


if __name__ == "__main__":
    main()
