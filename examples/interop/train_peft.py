"""Runs the job of a bdlora configuration in PEFT and PyTorch on a CPU, to compare the two.

    python train_peft.py run.yaml OUT [key=value ...]

It takes the file that `bdlora train --config run.yaml` takes, and does the same with it:
the model folder's chat template, loss on the assistant's turns only, the rows of each
epoch in bdlora's order, micro-batches whose gradients add up to the mean over the
trained tokens of the whole step, AdamW, the schedule of transformers, clipping. Base
weights are float32. With init_adapter both start from the same factors, and then the
losses of the steps should agree to rounding; without it each draws its own.

Some keys say how PyTorch is to compute: bf16 takes base weights in bfloat16 and autocast,
with factors and optimizer in float32 unless autocast_adapter_dtype=false makes all of it
bfloat16; fp32_precision=bf16 lets oneDNN multiply float32 matrices in bfloat16;
torch_compile compiles the layers and the loss; padding_free makes a micro-batch one row
without padding. Unless given, it is float32, not compiled and padded.

OUT gets the adapter and results.json: the loss, gradient norm, rate, tokens (trained or
not, no padding) and seconds of each step, the held-out loss before and after, tokens per
second of training, seconds, and the peak resident memory of the process.
"""

import argparse
import json
import math
import os
import platform
import resource
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
import yaml
from peft import BdLoraConfig, LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

COLUMN_PARALLEL = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]  # B is block-diagonal
ROW_PARALLEL = ["o_proj", "down_proj"]  # A is block-diagonal

# The keys that this script knows, with bdlora's defaults. A key that is not here must
# be in UNUSED, which change nothing in what is trained here, or have its value in FIXED.
DEFAULTS = {
    "model_name_or_path": "", "dataset": "", "eval_dataset": "", "val_size": 0.0, "max_length": 1024,
    "lora_r": 0, "lora_alpha": 0.0, "use_rslora": False, "nblocks": 1, "init_adapter": "",
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 8, "learning_rate": 2e-4,
    "lr_scheduler_type": "cosine", "warmup_ratio": 0.0, "warmup_steps": 0, "num_train_epochs": 3.0,
    "max_steps": 0, "weight_decay": 0.0, "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8,
    "max_grad_norm": 1.0, "seed": 42, "data_seed": 0, "threads": 0, "bf16": False,
    "autocast_adapter_dtype": True, "fp32_precision": "ieee", "torch_compile": False, "padding_free": False,
}
FIXED = {
    "packing": False, "train_on_prompt": False, "mask_history": False, "lora_dropout": 0,
    "excess_length_strategy": "raise", "target_modules": "all-linear", "early_stopping_patience": 0,
    "load_best_model_at_end": False, "resume_from_checkpoint": "", "device": "cpu",
}
UNUSED = {
    "output_dir", "dataset_format", "match_lora_rank", "bd_init", "per_device_eval_batch_size", "logging_steps",
    "eval_strategy", "eval_steps", "save_strategy", "save_steps", "save_total_limit", "gradient_checkpointing",
}


def read_config(path, overrides):
    """The settings as a namespace, or an error for one that this script cannot honour."""
    given = yaml.safe_load(path.read_text()) | dict(map(parse_override, overrides))
    given = {key: value for key, value in given.items() if value is not None}
    for key, value in given.items():
        if key in FIXED and value not in (FIXED[key], [FIXED[key]]):
            raise SystemExit(f"train_peft: {key}: got {value!r}, want {FIXED[key]!r}: this script knows no other")
        if key not in DEFAULTS.keys() | FIXED.keys() | UNUSED:
            raise SystemExit(f"train_peft: unknown key {key}")
    # A YAML 1.1 reader takes 2e-4 for a string; the default's type makes it a number.
    values = {key: type(default)(given.get(key, default)) for key, default in DEFAULTS.items()}
    if values["lora_r"] < 1:
        raise SystemExit("train_peft: lora_r: got none, want the rank that bdlora trained with")
    values["lora_alpha"] = values["lora_alpha"] or 16.0 * values["nblocks"]
    values["data_seed"] = values["data_seed"] or values["seed"]
    return argparse.Namespace(**values)


def parse_override(text):
    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


# Rows.

def read_examples(path, tokenizer, max_length):
    """Tokens and, of each, whether it is trained."""
    examples = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        tokens, trained = tokenise(messages_of(json.loads(line)), tokenizer)
        if len(tokens) > max_length:
            raise SystemExit(f"train_peft: {path}:{number}: {len(tokens)} tokens, want at most {max_length}")
        examples.append((tokens, trained))
    return examples


def messages_of(row):
    if "messages" in row:
        return row["messages"]
    return [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]


def tokenise(messages, tokenizer):
    """Renders once, and trains the tokens that begin in a turn of the assistant's.

    A turn is what rendering up to its end adds to rendering up to its generation prompt.
    """
    def render(some, prompt):
        return tokenizer.apply_chat_template(some, tokenize=False, add_generation_prompt=prompt)

    text, spans = render(messages, False), []
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            before, after = render(messages[:i], True), render(messages[:i + 1], False)
            if not (after.startswith(before) and text.startswith(after)):
                raise SystemExit("train_peft: the chat template writes a turn differently later on")
            spans.append((len(before), len(after)))
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    trained = [any(start <= at < end for start, end in spans) for at, _ in encoded["offset_mapping"]]
    return encoded["input_ids"], [False, *trained[1:]]


# Order: bdlora's shuffles, which are PCG-DXSM of Go's math/rand/v2 and Fisher-Yates.

def pcg(seed, stream):
    state, mask = seed << 64 | stream, (1 << 64) - 1
    while True:
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + 0x5851F42D4C957F2D14057B7EF767814F) % (1 << 128)
        high, low = state >> 64, state & mask
        high = (high ^ high >> 32) * 0xDA942042E4DD58B5 & mask
        yield (high ^ high >> 48) * (low | 1) & mask


def permutation(seed, stream, n):
    order, random = list(range(n)), pcg(seed, stream)
    for i in range(n - 1, 0, -1):
        j = next(random) * (i + 1) >> 64
        order[i], order[j] = order[j], order[i]
    return order


def split(examples, held, seed):
    count = math.ceil(held * len(examples)) if held < 1 else int(held)
    chosen = set(permutation(seed, (1 << 64) - 1, len(examples))[:count])
    return ([e for i, e in enumerate(examples) if i not in chosen],
            [e for i, e in enumerate(examples) if i in chosen])


def steps(examples, config):
    """Yields the examples of each optimizer step, without end."""
    size = config.per_device_train_batch_size * config.gradient_accumulation_steps
    epoch = 0
    while True:
        order = permutation(config.data_seed, epoch, len(examples))
        for start in range(0, len(order), size):
            yield [examples[i] for i in order[start:start + size]]
        epoch += 1


def total_steps(examples, config):
    size = config.per_device_train_batch_size * config.gradient_accumulation_steps
    return config.max_steps or math.ceil(config.num_train_epochs * math.ceil(len(examples) / size))


def micro_batches(examples, size):
    return [examples[i:i + size] for i in range(0, len(examples), size)]


# Training.

def load_model(config):
    torch.manual_seed(config.seed)
    dtype = torch.bfloat16 if config.bf16 else torch.float32
    base = AutoModelForCausalLM.from_pretrained(config.model_name_or_path, dtype=dtype)
    if config.init_adapter:
        return PeftModel.from_pretrained(base, config.init_adapter, is_trainable=True,
                                         autocast_adapter_dtype=config.autocast_adapter_dtype)
    bd = None
    if config.nblocks > 1:
        bd = BdLoraConfig(target_modules_bd_a=ROW_PARALLEL, target_modules_bd_b=COLUMN_PARALLEL,
                          nblocks=config.nblocks)
    lora = LoraConfig(task_type="CAUSAL_LM", r=config.lora_r, lora_alpha=config.lora_alpha, use_bdlora=bd,
                      use_rslora=config.use_rslora, target_modules=COLUMN_PARALLEL + ROW_PARALLEL)
    return get_peft_model(base, lora, autocast_adapter_dtype=config.autocast_adapter_dtype)


def compile_parts(model):
    """Compiles the layers, which share the code, and the loss: much sooner done than the whole."""
    base = model.get_base_model()
    for layer in base.model.layers:
        layer.compile(dynamic=True)
    base.loss_function = torch.compile(base.loss_function, dynamic=True)


def labels_of(tokens, trained):
    return [token if on else -100 for token, on in zip(tokens, trained)]


def padded(examples):
    """A row an example, padded on the right to the longest."""
    width = max(len(tokens) for tokens, _ in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (tokens, trained) in enumerate(examples):
        ids[row, :len(tokens)] = torch.tensor(tokens)
        mask[row, :len(tokens)] = 1
        labels[row, :len(tokens)] = torch.tensor(labels_of(tokens, trained))
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def padding_free(examples):
    """One row; transformers knows an example's first token by its position, 0."""
    return {
        "input_ids": torch.tensor([[token for tokens, _ in examples for token in tokens]]),
        "position_ids": torch.tensor([[position for tokens, _ in examples for position in range(len(tokens))]]),
        "labels": torch.tensor([[label for example in examples for label in labels_of(*example)]]),
    }


def loss_of(model, examples, trained_tokens, config):
    """The sum of -log p over the trained tokens of examples, divided by trained_tokens."""
    batch = padding_free(examples) if config.padding_free else padded(examples)
    with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16 and config.autocast_adapter_dtype):
        return model(**batch, num_items_in_batch=trained_tokens, use_cache=False).loss


def trained_tokens(examples):
    return sum(sum(trained) for _, trained in examples)


def evaluate(model, examples, config):
    """The mean of -log p over all trained tokens of the held-out rows, or None without any."""
    if not examples:
        return None
    model.eval()
    with torch.no_grad():
        count = trained_tokens(examples)
        return sum(loss_of(model, [example], count, config).item() for example in examples)


def train(model, examples, config):
    """Trains, and returns the numbers of each step."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay,
                                  betas=(config.adam_beta1, config.adam_beta2), eps=config.adam_epsilon, fused=True)
    total = total_steps(examples, config)
    warmup = config.warmup_steps or math.ceil(total * config.warmup_ratio)
    schedule = transformers.get_scheduler(config.lr_scheduler_type, optimizer, warmup, total)
    model.train()
    log = []
    for number, rows in zip(range(1, total + 1), steps(examples, config)):
        began, loss, count = time.perf_counter(), 0.0, trained_tokens(rows)
        for micro in micro_batches(rows, config.per_device_train_batch_size):
            part = loss_of(model, micro, count, config)
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm or math.inf).item()
        rate = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        seconds, tokens = time.perf_counter() - began, sum(len(t) for t, _ in rows)
        log.append({"step": number, "loss": loss, "grad_norm": norm, "learning_rate": rate, "rows": len(rows),
                    "tokens": tokens, "seconds": seconds})
        print(f"step {number}/{total}  loss {loss:.6f}  norm {norm:.4f}  {tokens / seconds:.1f} tokens/s",
              file=sys.stderr)
    return log


def peak_resident_bytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML file of bdlora train")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("override", nargs="*", help="key=value, stronger than the file")
    arguments = parser.parse_args()
    config = read_config(arguments.config, arguments.override)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.backends.mkldnn.matmul.fp32_precision = config.fp32_precision

    tokenizer = AutoTokenizer.from_pretrained(config.model_name_or_path)
    examples = read_examples(config.dataset, tokenizer, config.max_length)
    examples, held_out = split(examples, config.val_size, config.data_seed)
    if config.eval_dataset:
        held_out = read_examples(config.eval_dataset, tokenizer, config.max_length)
    model = load_model(config)
    if config.torch_compile:
        compile_parts(model)
    before = evaluate(model, held_out, config)
    log = train(model, examples, config)
    after = evaluate(model, held_out, config)
    tokens, seconds = (sum(step[key] for step in log) for key in ("tokens", "seconds"))

    model.save_pretrained(arguments.out)
    results = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__},
        "threads": torch.get_num_threads(), "config": vars(config), "rows": len(examples),
        "trainable_parameters": model.get_nb_trainable_parameters()[0], "eval_loss_before": before,
        "eval_loss": after, "tokens": tokens, "seconds": seconds, "tokens_per_second": tokens / seconds,
        "peak_resident_bytes": peak_resident_bytes(), "steps": log,
    }
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key not in ("steps", "config")}, indent=1))


if __name__ == "__main__":
    main()
