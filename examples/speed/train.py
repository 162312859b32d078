"""The same training by bdlora and by PEFT on PyTorch: examples per second and peak memory.

    python train.py MODEL ROWS.jsonl OUT

Every contender trains the same model folder on the same rows in the same batches, from
the same adapter (PEFT draws it), with the same optimizer, in a process of its own, for
--warmup steps that do not count and --steps that do. PEFT is run by
../interop/train_peft.py with what helps PyTorch: AdamW in one kernel, batches padded to
their longest row only or not at all, its own attention kernel, torch.compile, bfloat16.
The float32 contenders' losses must agree to rounding: the last table shows how far each
step's loss is from that of PEFT in float32.

Printed is Markdown. OUT keeps what was measured, so that the same command goes on with
the rest after it was stopped; for another comparison give another folder.
"""

import argparse
import json
import shutil
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import measure

INTEROP = measure.REPOSITORY / "examples" / "interop"

# glibc keeps what PyTorch frees, where it would give it back and clear the pages anew.
KEEP_FREED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}
COMPILED = {"torch_compile": True}
BF16_ALL = {"bf16": True, "autocast_adapter_dtype": False}


@dataclass(frozen=True)
class Contender:
    """A tool with its settings, over those of the job."""

    name: str
    tool: str
    adapter: str = "lora"
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


BASELINE = "peft-f32"
CONTENDERS = [
    Contender(BASELINE, "peft"),
    Contender("peft-f32-compiled", "peft", settings=COMPILED, environment=KEEP_FREED),
    Contender("peft-f32-padding-free", "peft", settings={"padding_free": True}, environment=KEEP_FREED),
    Contender("peft-f32-bf16-products", "peft", settings=COMPILED | {"fp32_precision": "bf16"}, environment=KEEP_FREED),
    Contender("peft-bf16", "peft", settings={"bf16": True}),
    Contender("peft-bf16-compiled", "peft", settings=COMPILED | {"bf16": True}, environment=KEEP_FREED),
    Contender("peft-bf16-all-compiled", "peft", settings=COMPILED | BF16_ALL, environment=KEEP_FREED),
    Contender("bdlora-f32", "bdlora"),
    Contender("bdlora-medium", "bdlora", settings={"float32_matmul_precision": "medium"}),
    Contender("peft-f32-bd", "peft", adapter="bd"),
    Contender("bdlora-f32-bd", "bdlora", adapter="bd"),
]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the base model")
    parser.add_argument("rows", type=Path, help="rows to train on, as bdlora train takes them")
    parser.add_argument("out", type=Path, help="folder for what was measured")
    parser.add_argument("--bdlora", default="", help="program to measure; built from this repository if not given")
    parser.add_argument("--lora_r", type=int, default=16, help="rank of LoRA")
    parser.add_argument("--nblocks", type=int, default=3, help="blocks of BD-LoRA")
    parser.add_argument("--bd_r", type=int, default=24,
                        help="rank of BD-LoRA; `bdlora plan` says which has as many parameters as LoRA")
    parser.add_argument("--per_device_train_batch_size", type=int, default=4, help="rows of a step")
    parser.add_argument("--max_length", type=int, default=1024, help="longest row in tokens")
    parser.add_argument("--warmup", type=int, default=2, help="steps before those that count")
    parser.add_argument("--steps", type=int, default=7, help="steps that count")
    parser.add_argument("--rounds", type=int, default=1, help="how often to run each; a step's time is its median")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contenders", nargs="+", choices=[c.name for c in CONTENDERS], metavar="NAME",
                        default=[c.name for c in CONTENDERS], help=f"some of {', '.join(c.name for c in CONTENDERS)}")
    return parser.parse_args()


# The job.

def job(arguments: argparse.Namespace, adapter: str) -> dict[str, Any]:
    """The settings of both tools for an adapter."""
    blocks, rank = (1, arguments.lora_r) if adapter == "lora" else (arguments.nblocks, arguments.bd_r)
    return {
        "model_name_or_path": str(arguments.model), "dataset": str(arguments.rows), "max_length": arguments.max_length,
        "nblocks": blocks, "lora_r": rank, "lora_alpha": 16 * blocks, "init_adapter": "",
        "per_device_train_batch_size": arguments.per_device_train_batch_size, "gradient_accumulation_steps": 1,
        "learning_rate": 5e-4, "lr_scheduler_type": "constant", "max_steps": arguments.warmup + arguments.steps,
        "logging_steps": 1, "eval_strategy": "no", "save_strategy": "no", "threads": arguments.threads,
    }


def make_job(arguments: argparse.Namespace, adapter: str) -> dict[str, Any]:
    """Writes an adapter to start from and a configuration with it; returns rows and tokens of each step."""
    sys.path.insert(0, str(INTEROP))
    import train_peft  # and with it PyTorch, which takes a while

    folder = arguments.out.resolve() / adapter
    folder.mkdir(exist_ok=True)
    settings = job(arguments, adapter)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    config = train_peft.read_config(path, [])
    model = train_peft.load_model(config)
    model.save_pretrained(folder / "init")
    path.write_text(yaml.safe_dump(settings | {"init_adapter": str(folder / "init")}))
    tokenizer = train_peft.AutoTokenizer.from_pretrained(config.model_name_or_path)
    examples = train_peft.read_examples(config.dataset, tokenizer, config.max_length)
    steps = [rows for rows, _ in zip(train_peft.steps(examples, config), range(config.max_steps))]
    return {"params": model.get_nb_trainable_parameters()[0], "rows": [len(rows) for rows in steps],
            "tokens": [sum(len(tokens) for tokens, _ in rows) for rows in steps]}


# A contender's run: seconds and loss of each step, and the peak memory.

def run(contender: Contender, arguments: argparse.Namespace, steps: dict[str, Any], name: str) -> dict[str, Any]:
    config = arguments.out.resolve() / contender.adapter / "run.yaml"
    output = arguments.out.resolve() / "runs" / name
    shutil.rmtree(output, ignore_errors=True)
    settings = [f"{key}={value if isinstance(value, str) else json.dumps(value)}"
                for key, value in contender.settings.items()]
    if contender.tool == "peft":
        command = [sys.executable, str(INTEROP / "train_peft.py"), str(config), str(output), *settings]
    else:
        command = [measure.bdlora(arguments.bdlora, arguments.out), "train", "--config", str(config),
                   f"output_dir={output}", *settings]
    log = arguments.out.resolve() / "runs" / f"{name}.log"
    _, peak = measure.run(command, log, arguments.threads, contender.environment)
    read = read_peft if contender.tool == "peft" else read_bdlora
    return read(output, steps) | {"peak_bytes": peak}


def read_peft(output: Path, _: dict[str, Any]) -> dict[str, Any]:
    steps = json.loads((output / "results.json").read_text())["steps"]
    return {"seconds": [step["seconds"] for step in steps], "losses": [step["loss"] for step in steps]}


def read_bdlora(output: Path, steps: dict[str, Any]) -> dict[str, Any]:
    log = [json.loads(line) for line in (output / "trainer_log.jsonl").read_text().splitlines()]
    return {"seconds": [tokens / entry["tokens_per_second"] for tokens, entry in zip(steps["tokens"], log)],
            "losses": [entry["loss"] for entry in log]}


@dataclass
class Measured:
    """A contender's medians over the rounds."""

    contender: Contender
    seconds: list[float]  # of each step, warm-up too
    losses: list[float]
    peak_bytes: float


def median_of(contender: Contender, runs: list[dict[str, Any]]) -> Measured:
    seconds = [statistics.median(step) for step in zip(*(run["seconds"] for run in runs))]
    return Measured(contender, seconds, runs[0]["losses"], statistics.median(run["peak_bytes"] for run in runs))


def compare(arguments: argparse.Namespace, results: measure.Results,
            jobs: dict[str, dict[str, Any]]) -> dict[str, Measured]:
    """Runs the contenders in turn, round after round."""
    chosen = [c for c in CONTENDERS if c.name in arguments.contenders]
    runs: dict[str, list[dict[str, Any]]] = {c.name: [] for c in chosen}
    for number in range(1, arguments.rounds + 1):
        for c in chosen:
            name = f"{c.name}-{number}"
            if result := results.get(name, lambda: run(c, arguments, jobs[c.adapter], name)):
                runs[c.name].append(result)
    return {c.name: median_of(c, runs[c.name]) for c in chosen if runs[c.name]}


# Tables.

def ratio(of: list[float], to: list[float], warmup: int) -> float:
    """The median over the steps that count of one time as a multiple of another, step by step."""
    return statistics.median(a / b for a, b in zip(of[warmup:], to[warmup:]))


def speeds(measured: dict[str, Measured], jobs: dict[str, dict[str, Any]], warmup: int) -> str:
    base, rows = measured.get(BASELINE), []
    for name, m in measured.items():
        counts = jobs[m.contender.adapter]
        examples, tokens = (statistics.median(n / s for n, s in list(zip(counts[key], m.seconds))[warmup:])
                            for key in ("rows", "tokens"))
        rows.append([name, f"{examples:.3f}", f"{tokens:.0f}",
                     f"{ratio(base.seconds, m.seconds, warmup):.2f}x" if base else "",
                     measure.gib(m.peak_bytes), f"{m.peak_bytes / base.peak_bytes:.2f}x" if base else ""])
    return measure.table(["contender", "examples/s", "tokens/s", "speed", "peak GiB", "memory"], rows)


def block_costs(measured: dict[str, Measured], jobs: dict[str, dict[str, Any]], warmup: int) -> str:
    rows = []
    for name in ("bdlora-f32", "peft-f32"):
        lora, bd = measured.get(name), measured.get(f"{name}-bd")
        if lora and bd:
            params = jobs["bd"]["params"] / jobs["lora"]["params"]
            rows.append([name, f"{ratio(bd.seconds, lora.seconds, warmup):.3f}x", f"{params:.3f}x"])
    return measure.table(["BD-LoRA over LoRA", "step time", "parameters"], rows)


def losses(measured: dict[str, Measured]) -> str:
    """The losses of the first steps, and how far each is at most from PEFT's in float32."""
    shown, rows = min(4, *(len(m.losses) for m in measured.values())), []
    for name, m in measured.items():
        base = measured.get("peft-f32-bd" if m.contender.adapter == "bd" else BASELINE)
        apart = max(abs(a / b - 1) for a, b in zip(m.losses[:shown], base.losses)) if base else None
        rows.append([name, *(f"{loss:.6f}" for loss in m.losses[:shown]), "" if apart is None else f"{apart:.1e}"])
    return measure.table(["loss of step", *map(str, range(1, shown + 1)), "apart"], rows)


def main() -> None:
    arguments = parse()
    settings = {key: str(value) for key, value in vars(arguments).items() if key not in ("out", "rounds", "contenders")}
    results = measure.Results(arguments.out, settings)
    jobs = {adapter: results.get(f"job-{adapter}", lambda: measure.apart(make_job, arguments, adapter))
            for adapter in ("lora", "bd")}
    measured = compare(arguments, results, jobs)
    print(measure.machine(arguments.threads, "torch", "transformers", "peft"))
    print(f"{arguments.model.name}, {arguments.per_device_train_batch_size} rows a step, {arguments.steps} steps after "
          f"{arguments.warmup}; LoRA of rank {arguments.lora_r}, BD-LoRA of rank {arguments.bd_r} in "
          f"{arguments.nblocks} blocks.\n")
    if measured:
        print(speeds(measured, jobs, arguments.warmup))
        print(block_costs(measured, jobs, arguments.warmup))
        print(losses(measured))
    results.exit()


if __name__ == "__main__":
    main()
