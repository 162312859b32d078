"""Proves that bdlora and PEFT read each other's adapters and compute the same.

    check.py make     base model  -> adapters made by PEFT, and PEFT's logits with each
    check.py exports  bdlora's exports and logits -> the same logits in PEFT and transformers?
    check.py compare  two files of logits

A file of logits, and of the tokens to compute them for, is JSON:

    {"sequences": [{"tokens": [1, 5, 7], "positions": [0, 1, 2], "logits": [[...], ...]}]}

logits[i] are those of the token after tokens[positions[i]], one for each entry of the
vocabulary. Each sequence stands alone, without padding. Everything is in float32 on
the CPU. The exit code is 1 where anything differs, fails to load, or only warns.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from peft import BdLoraConfig, LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora.variants import BlockDiagonalLinear
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

COLUMN_PARALLEL = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]  # B is block-diagonal
ROW_PARALLEL = ["o_proj", "down_proj"]  # A is block-diagonal


class Strict(logging.Handler):
    """Turns what transformers and PEFT log or warn about into errors."""

    def emit(self, record):
        raise UserWarning(record.getMessage())

    def install(self):
        warnings.simplefilter("error")
        # PEFT 0.21 asks transformers 5 by an old name, with any adapter.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        for library in ("transformers", "peft"):
            logging.getLogger(library).addHandler(self)
        self.setLevel(logging.WARNING)


# Models.

def load_base(folder):
    """The model, refused unless every tensor of the folder found its place and none is missing."""
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {kind: keys for kind, keys in report.items() if keys}
    if wrong:
        raise ValueError(f"{folder}: {wrong}")
    return model.eval()


def load_adapter(base, folder):
    """The base model with the adapter, refused if its file has a tensor that PEFT passed over."""
    model = PeftModel.from_pretrained(load_base(base), folder).eval()
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        unused = set(file.keys()) - get_peft_model_state_dict(model).keys()
    if unused:
        raise ValueError(f"{folder}: PEFT does not use {sorted(unused)}")
    return model


def kind_of(model):
    """What is loaded, in words that the table shows and `exports` checks."""
    if not isinstance(model, PeftModel):
        return "no adapter"
    blocks = {module.nblocks for module in model.modules() if isinstance(module, BlockDiagonalLinear)}
    return f"BD-LoRA, {'/'.join(map(str, sorted(blocks)))} blocks" if blocks else "LoRA"


# Logits.

def logits_of(model, sequences):
    """The sequences with the logits of their positions, of all tokens if none are named."""
    result = []
    for sequence in sequences:
        tokens = sequence["tokens"]
        positions = sequence.get("positions", list(range(len(tokens))))
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0, positions]
        result.append({"tokens": tokens, "positions": positions, "logits": logits.tolist()})
    return result


def read_sequences(path):
    return json.loads(Path(path).read_text())["sequences"]


def write_sequences(path, sequences):
    path.write_text(json.dumps({"sequences": sequences}) + "\n")


def difference(got, want):
    """The largest difference of two logits, relative to the largest of want."""
    if [s["tokens"] for s in got] != [s["tokens"] for s in want]:
        raise ValueError("the two sides computed logits of different tokens")
    largest, apart = 0.0, 0.0
    for ours, theirs in zip(got, want):
        if ours["positions"] != theirs["positions"]:
            raise ValueError("the two sides computed logits at different positions")
        a = torch.tensor(ours["logits"], dtype=torch.float64)
        b = torch.tensor(theirs["logits"], dtype=torch.float64)
        if a.shape != b.shape:
            raise ValueError(f"logits have shapes {list(a.shape)} and {list(b.shape)}")
        largest = max(largest, b.abs().max().item())
        apart = max(apart, torch.nan_to_num((a - b).abs(), nan=float("inf")).max().item())
    return apart / largest


class Table:
    """Prints a row a check, and remembers whether all passed."""

    def __init__(self, tolerance):
        self.tolerance, self.passed = tolerance, True
        print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")
        print(f"{'what':10} {'loaded as':18} {'difference':>10}  (limit {tolerance:g} of the largest logit)")

    def row(self, what, kind, relative):
        ok = relative <= self.tolerance
        self.passed &= ok
        print(f"{what:10} {kind:18} {relative:10.1e}  {'ok' if ok else 'DIFFERENT'}")

    def failure(self, what, error):
        self.passed = False
        lines = [line.strip() for line in str(error).splitlines()]
        more = f" ... {len(lines) - 3} more lines" if len(lines) > 3 else ""
        print(f"{what:10} FAILED: {type(error).__name__}: {' '.join(lines[:3])}{more}")


# Commands.

def make(arguments):
    """Adapters by PEFT itself with a random B, and the logits with each."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    sequences = sequences_for(arguments)
    write_sequences(arguments.out / "base.json", logits_of(load_base(arguments.base), sequences))
    for blocks in [1, *arguments.nblocks]:
        name = "lora" if blocks == 1 else f"bd{blocks}"
        torch.manual_seed(blocks)
        model = get_peft_model(load_base(arguments.base), lora_config(arguments.rank, blocks)).eval()
        for key, parameter in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.05)
        model.save_pretrained(arguments.out / name)
        write_sequences(arguments.out / f"{name}.json", logits_of(model, sequences))
        print(f"{arguments.out / name}: {kind_of(model)}, rank {arguments.rank}")
    return True


def sequences_for(arguments):
    if arguments.tokens:
        return read_sequences(arguments.tokens)
    tokens = AutoTokenizer.from_pretrained(arguments.base)(arguments.prompt)["input_ids"]
    first = max(0, len(tokens) - arguments.last) if arguments.last else 0
    return [{"tokens": tokens, "positions": list(range(first, len(tokens)))}]


def lora_config(rank, blocks):
    bd = None
    if blocks > 1:
        bd = BdLoraConfig(target_modules_bd_a=ROW_PARALLEL, target_modules_bd_b=COLUMN_PARALLEL, nblocks=blocks)
    return LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=2 * rank, use_bdlora=bd,
                      target_modules=COLUMN_PARALLEL + ROW_PARALLEL)


def exports(arguments):
    """Each export that is given, loaded by the library that it is for."""
    want = read_sequences(arguments.logits)
    loaders = {"peft": lambda folder: load_adapter(arguments.base, folder),
               "dense": lambda folder: load_adapter(arguments.base, folder), "merged": load_base}
    folders = {name: getattr(arguments, name) for name in loaders if getattr(arguments, name)}
    if not folders:
        raise SystemExit("check.py exports: nothing to check; give --peft, --dense or --merged")
    table = Table(arguments.tolerance)
    for name, folder in folders.items():
        try:
            model = loaders[name](folder)
            if name == "dense" and kind_of(model) != "LoRA":
                raise ValueError(f"{folder} loaded as {kind_of(model)}, want plain LoRA")
            table.row(name, kind_of(model), difference(logits_of(model, want), want))
        except Exception as error:  # any failure is a row of the table, the others go on
            table.failure(name, error)
    return table.passed


def compare(arguments):
    table = Table(arguments.tolerance)
    table.row("logits", "two files", difference(read_sequences(arguments.got), read_sequences(arguments.want)))
    return table.passed


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("make", help=make.__doc__)
    command.add_argument("--base", type=Path, required=True, help="folder of the base model")
    command.add_argument("--prompt", default="The capital of France is", help="text to compute logits for")
    command.add_argument("--last", type=int, default=4, help="logits of the prompt's last tokens only; 0 is all")
    command.add_argument("--tokens", type=Path, help="file of tokens to use instead of --prompt")
    command.add_argument("--rank", type=int, default=12, help="a multiple of every --nblocks")
    command.add_argument("--nblocks", type=int, nargs="*", default=[], help="a BD adapter for each")
    command.add_argument("out", type=Path, help="folder to write")
    command.set_defaults(run=make)

    command = commands.add_parser("exports", help=exports.__doc__)
    command.add_argument("--base", type=Path, required=True, help="folder of the base model")
    command.add_argument("--logits", type=Path, required=True, help="what bdlora computed")
    command.add_argument("--peft", type=Path, help="folder of bdlora export --format peft")
    command.add_argument("--dense", type=Path, help="folder of bdlora export --format dense")
    command.add_argument("--merged", type=Path, help="folder of bdlora export --format merged")
    command.add_argument("--tolerance", type=float, default=1e-4)
    command.set_defaults(run=exports)

    command = commands.add_parser("compare", help="two files of logits")
    command.add_argument("got", type=Path)
    command.add_argument("want", type=Path)
    command.add_argument("--tolerance", type=float, default=1e-4)
    command.set_defaults(run=compare)
    return parser.parse_args()


def main():
    arguments = parse()
    transformers.utils.logging.disable_progress_bar()
    Strict().install()
    sys.exit(0 if arguments.run(arguments) else 1)


if __name__ == "__main__":
    main()
