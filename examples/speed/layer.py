"""One full-width layer of a model, trained by bdlora and by PEFT on PyTorch: seconds and peak memory.

    python layer.py OUT

Both sides make the same training steps on one sequence of random tokens with random
weights: embedding, one layer with LoRA on its seven linears, the model's own head, the
loss on each token but the first, all of it backward, the gradient's norm, AdamW. Both
say how much of the step was head and loss, which in a model of one layer is most of it;
"the rest" is the layer. Every contender runs in a process of its own; PyTorch's by
step_peft.py, bdlora's by `bdlora bench step`, which has its base weights in bfloat16 and
computes in float32.

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

BASELINE = "peft-f32"
PEFT = {
    BASELINE: [],
    "peft-f32-compiled": ["--torch_compile"],
    "peft-bf16": ["--bf16"],
    "peft-bf16-compiled": ["--bf16", "--torch_compile"],
    "peft-bf16-all-compiled": ["--bf16", "--bf16_adapter", "--torch_compile"],
}
BDLORA = {"bdlora-f32": [], "bdlora-medium": ["--float32_matmul_precision", "medium"]}
CONTENDERS = [*PEFT, *BDLORA]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for what was measured")
    parser.add_argument("--bdlora", default="", help="program to measure; built from this repository if not given")
    parser.add_argument("--shape", nargs="+", default=["llama-3.2-1b", "llama-3.1-8b"],
                        help="smollm2-135m, llama-3.2-1b, llama-3.1-8b")
    parser.add_argument("--tokens", nargs="+", type=int, default=[512, 2048], help="tokens of the sequence")
    parser.add_argument("--lora_r", type=int, default=16, help="rank of the adapter")
    parser.add_argument("--warmup", type=int, default=1, help="steps before those that count")
    parser.add_argument("--runs", type=int, default=3, help="steps that count, of which the median does")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME",
                        help=f"some of {', '.join(CONTENDERS)}")
    return parser.parse_args()


# A contender's run: the seconds of a step, of them those of head and loss, and the peak memory.

def run(name: str, shape: str, tokens: int, arguments: argparse.Namespace) -> dict[str, Any]:
    options = ["--shape", shape, "--layers", "1", "--tokens", str(tokens), "--lora_r", str(arguments.lora_r),
               "--warmup", str(arguments.warmup), "--runs", str(arguments.runs), "--threads", str(arguments.threads)]
    if name in PEFT:
        command = [sys.executable, str(measure.EXAMPLES / "step_peft.py"), *options, *PEFT[name]]
    else:
        command = [measure.bdlora(arguments.bdlora, arguments.out), "bench", "step", "--json", *options, *BDLORA[name]]
    log = arguments.out / "runs" / f"{name}-{shape}-{tokens}.log"
    output, peak = measure.run(command, log, arguments.threads, {})
    read = read_peft if name in PEFT else read_bdlora
    return read(json.loads(output)) | {"peak_bytes": peak}


def read_peft(printed: dict[str, Any]) -> dict[str, Any]:
    return {"params": printed["params"], "trainable_params": printed["trainable_params"],
            "seconds": statistics.median(printed["seconds"]), "head": statistics.median(printed["head_seconds"])}


def read_bdlora(printed: dict[str, Any]) -> dict[str, Any]:
    step = printed["step"]
    head = next(part["seconds"] for part in step["parts"] if part["part"] == "head and loss")
    return {"params": printed["model"]["params"], "trainable_params": step["trainable_params"],
            "seconds": step["seconds"], "head": head}


# Tables.

def rows_of(results: dict[str, dict[str, Any]], tokens: int) -> list[list[str]]:
    """A row a contender, as a multiple of PEFT in float32 if that has run."""
    base, rows = results.get(BASELINE), []
    for name, r in results.items():
        layer, times = r["seconds"] - r["head"], ["", "", ""]
        if base:
            times = [f"{base['seconds'] / r['seconds']:.2f}x", f"{(base['seconds'] - base['head']) / layer:.2f}x",
                     f"{r['peak_bytes'] / base['peak_bytes']:.2f}x"]
        rows.append([name, f"{tokens / r['seconds']:.0f}", f"{r['seconds']:.3f}", times[0], f"{layer:.3f}", times[1],
                     measure.gib(r["peak_bytes"]), times[2]])
    return rows


def check_equal(results: dict[str, dict[str, Any]], shape: str) -> None:
    """Both sides must have built the same model and the same adapter."""
    sizes = {name: (r["params"], r["trainable_params"]) for name, r in results.items()}
    if len(set(sizes.values())) > 1:
        raise SystemExit(f"{shape}: parameters and trained ones are {sizes}, want the same of all")


def main() -> None:
    arguments = parse()
    settings = {key: getattr(arguments, key) for key in ("bdlora", "lora_r", "warmup", "runs", "threads")}
    store = measure.Results(arguments.out, settings)
    print(measure.machine(arguments.threads, "torch", "transformers", "peft"))
    for shape in arguments.shape:
        for tokens in arguments.tokens:
            results = {name: store.get(f"{name}-{shape}-{tokens}", lambda: run(name, shape, tokens, arguments))
                       for name in arguments.contenders}
            results = {name: result for name, result in results.items() if result}
            check_equal(results, shape)
            print(f"{shape}, one layer, {tokens} tokens, LoRA of rank {arguments.lora_r}.\n")
            print(measure.table(["contender", "tokens/s", "step s", "speed", "the rest s", "speed of it", "peak GiB",
                                 "memory"], rows_of(results, tokens)), flush=True)
    store.exit()


if __name__ == "__main__":
    main()
