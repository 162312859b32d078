"""Fine-tunes the quickstart's model with PEFT, for comparison: python prove.py --blocks 4.

It trains a LoRA (--blocks 1) or BD-LoRA adapter on all seven linear layers with plain AdamW
under a cosine, in float32, and prints the exact-match accuracy on heldout.jsonl before and
after, by greedy generate() of transformers. README.md has the numbers.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.config import BdLoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
COLUMN = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]
ROW = ["o_proj", "down_proj"]


def read(name: str) -> list[list[dict]]:
    return [json.loads(line)["messages"] for line in (HERE / name).read_text().splitlines()]


def encode(tokenizer, chat: list[dict]) -> tuple[list[int], int]:
    """A row's ids, and how many of them are prompt; the trained ones end with <|im_end|>."""
    prompt = tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(chat[-1]["content"], add_special_tokens=False)["input_ids"]
    return start + answer + [tokenizer.eos_token_id], len(start)


def collate(rows: list[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.ones(len(rows), longest, dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (row, prompt) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, prompt : len(row)] = ids[i, prompt : len(row)]
    return ids, labels


def answers(model, tokenizer, chats: list[list[dict]]) -> list[str]:
    tokenizer.padding_side = "left"
    prompts = [tokenizer.apply_chat_template(c[:-1], tokenize=False, add_generation_prompt=True)
               for c in chats]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
    model.eval()
    with torch.no_grad():
        out = model.generate(**batch, max_new_tokens=64, do_sample=False)
    return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def accuracy(model, tokenizer, chats: list[list[dict]]) -> float:
    got = answers(model, tokenizer, chats)
    return sum(g == c[-1]["content"] for g, c in zip(got, chats)) / len(chats)


def adapt(model, args: argparse.Namespace):
    """Wraps the model in an adapter; args.blocks = 0 means PEFT's LoRA without blocks."""
    bd = None
    if args.blocks > 0:
        bd = BdLoraConfig(target_modules_bd_a=ROW, target_modules_bd_b=COLUMN, nblocks=args.blocks)
    model = get_peft_model(model, LoraConfig(
        r=args.rank, lora_alpha=args.alpha, target_modules=COLUMN + ROW, use_bdlora=bd,
        task_type="CAUSAL_LM"))
    if args.init == "lora":
        rescale(model)
    return model


def rescale(model) -> None:
    """Gives block-diagonal A factors LoRA's variance: U(-b, b) with b = 1/sqrt(fan in)."""
    for name, p in model.named_parameters():
        if "lora_A" in name and any(row in name for row in ROW):
            torch.nn.init.kaiming_uniform_(p, a=math.sqrt(5))


def train(model, rows: list[tuple[list[int], int]], args: argparse.Namespace) -> float:
    """Trains for args.steps steps; the loss is the mean over the step's trained tokens."""
    rng = random.Random(args.seed)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
        (step + 1) / args.warm_up, 0.5 * (1 + math.cos(math.pi * step / args.steps))))
    order, losses = [], []
    model.train()
    for step in range(args.steps):
        if len(order) < args.batch:
            order = rng.sample(range(len(rows)), len(rows))
        batch = [rows[order.pop()] for _ in range(args.batch)]
        ids, labels = collate(batch)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return sum(losses[-10:]) / 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=float, default=64)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--warm_up", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--init", choices=["peft", "lora"], default="lora")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--show", type=int, default=0)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(HERE / "model")
    model = AutoModelForCausalLM.from_pretrained(HERE / "model", dtype=torch.float32)
    rows, held_out = [encode(tokenizer, c) for c in read("train.jsonl")], read("heldout.jsonl")
    before = accuracy(model, tokenizer, held_out)
    shown = held_out[: args.show]
    first = answers(model, tokenizer, shown) if shown else []
    model = adapt(model, args)
    trainable, total = model.get_nb_trainable_parameters()
    start = time.time()
    loss = train(model, rows, args)
    seconds = time.time() - start
    print(f"N={args.blocks} r={args.rank} alpha={args.alpha:g} lr={args.rate:g} "
          f"steps={args.steps}x{args.batch} seed={args.seed} init={args.init}: "
          f"{trainable} trainable ({trainable / total:.2%}), loss {loss:.4f}, "
          f"accuracy {before:.1%} -> {accuracy(model, tokenizer, held_out):.1%}, {seconds:.0f} s")
    last = answers(model, tokenizer, shown) if shown else []
    for chat, old, new in zip(shown, first, last):
        print(f"\n> {chat[0]['content']}\n  before: {old}\n  after:  {new}")
    if args.save:
        model.save_pretrained(args.save)


if __name__ == "__main__":
    main()
