"""Makes the quickstart's model and rows: python pretrain.py, about ten minutes on one core.

It writes, beside itself, model/ (a Hugging Face folder of a small Llama), train.jsonl and
heldout.jsonl, from nothing but world.py and a seed. README.md says what for.
"""

import json
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import world

HERE = Path(__file__).parent
SEED = 20251
THREADS = 1

VOCAB = 1344
BOS, EOS, START, END = "<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

MAX_POSITIONS = 256
STEPS = 2000
WARM_UP = 100
MUON_RATE, ADAM_RATE = 0.02, 4e-3
TOKENS_PER_STEP = 2048
OTHER_WEIGHT = 0.1
TRAIN_ROWS, HELD_OUT_ROWS = 800, 160


def make_tokenizer(rng: random.Random) -> PreTrainedTokenizerFast:
    """Byte-level BPE with single digits, as SmolLM2 has it, learnt from pretraining text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])
    bpe.decoder = decoders.ByteLevel()
    texts = []
    for document in world.documents(rng, 20000):
        texts += [document] if isinstance(document, str) else [m["content"] for m in document]
    bpe.train_from_iterator(texts + ["user\nassistant\nsystem\n"] * 100, trainers.BpeTrainer(
        vocab_size=VOCAB, special_tokens=[BOS, EOS, START, END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=BOS, eos_token=END, pad_token=EOS,
        chat_template=CHAT_TEMPLATE, model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False)
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def make_model() -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCAB, hidden_size=128, intermediate_size=320, num_hidden_layers=4,
        num_attention_heads=8, num_key_value_heads=4, head_dim=32, rms_norm_eps=1e-5,
        max_position_embeddings=MAX_POSITIONS, tie_word_embeddings=True, initializer_range=0.05,
        bos_token_id=0, eos_token_id=3, pad_token_id=1))


def encode(tokenizer, document: str | list[dict]) -> tuple[list[int], list[float]]:
    """A document's ids and the weight of each in the loss.

    Running text and the assistant's words weigh 1, everything else of a chat OTHER_WEIGHT:
    a customer's name or order number can't be foreseen and would only add noise.
    """
    if isinstance(document, str):
        ids = tokenizer(BOS + document + END)["input_ids"]
        return ids, [1.0] * len(ids)
    ids, weights = [0], [0.0]
    for message in document:
        head = tokenizer(f"{START}{message['role']}\n")["input_ids"]
        body = tokenizer(message["content"] + END)["input_ids"]
        tail = tokenizer("\n")["input_ids"]
        ids += head + body + tail
        weight = 1.0 if message["role"] == "assistant" else OTHER_WEIGHT
        weights += [OTHER_WEIGHT] * len(head) + [weight] * len(body) + [OTHER_WEIGHT] * len(tail)
    return ids, weights


def batches(tokenizer, rng: random.Random):
    """Endless batches of about TOKENS_PER_STEP ids and weights, each [rows, longest]."""
    while True:
        encoded = [encode(tokenizer, d) for d in world.documents(rng, 4096)]
        chunk, chunks = [], []
        for row in sorted(encoded, key=lambda row: len(row[0])):
            if len(row[0]) * (len(chunk) + 1) > TOKENS_PER_STEP:
                chunks.append(chunk)
                chunk = []
            chunk.append(row)
        rng.shuffle(chunks)
        for chunk in chunks:
            longest = max(len(ids) for ids, _ in chunk)
            ids = torch.ones(len(chunk), longest, dtype=torch.long)
            weights = torch.zeros(len(chunk), longest)
            for i, (row, row_weights) in enumerate(chunk):
                ids[i, : len(row)] = torch.tensor(row)
                weights[i, : len(row)] = torch.tensor(row_weights)
            yield ids, weights


def rate(step: int) -> float:
    """The share of the peak rate: linear warm-up, then a straight line down to nothing."""
    return min((step + 1) / WARM_UP, 1 - step / STEPS, 1.0)


def make_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the linear layers, AdamW for the embeddings and the norms."""
    linear = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    other = [p for n, p in model.named_parameters() if p.dim() == 1 or "embed" in n]
    return [torch.optim.Muon(linear, lr=MUON_RATE, weight_decay=0.01),
            torch.optim.AdamW(other, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)]


def pretrain(model: LlamaForCausalLM, tokenizer, rng: random.Random) -> None:
    """Next-token prediction; every document is new, none is seen twice."""
    optimizers = make_optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, rate) for o in optimizers]
    start, seen, recent = time.time(), 0, []
    for step, (ids, weights) in zip(range(STEPS), batches(tokenizer, rng)):
        # Padding is on the right: causal attention and a weight of 0 keep it out.
        logits = model(input_ids=ids[:, :-1]).logits
        losses = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weights = weights[:, 1:].flatten()
        loss = (losses * weights).sum() / weights.sum()
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules):
            optimizer.step()
            schedule.step()
        seen += int((weights > 0).sum())
        recent.append(loss.item())
        if step % 100 == 99:
            print(f"step {step + 1} of {STEPS}: loss {sum(recent) / len(recent):.4f}, "
                  f"{seen} tokens, {time.time() - start:.0f} s", flush=True)
            recent.clear()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Writes the folder, weights in bfloat16, the chat template in tokenizer_config.json."""
    model.generation_config = GenerationConfig(
        bos_token_id=0, eos_token_id=[3], pad_token_id=1, do_sample=False)
    model.to(torch.bfloat16).save_pretrained(HERE / "model")
    tokenizer.save_pretrained(HERE / "model", save_jinja_files=False)
    tokenizer.backend_tokenizer.save(str(HERE / "model" / "tokenizer.json"))
    config_file = HERE / "model" / "tokenizer_config.json"
    config = json.loads(config_file.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # as transformers 4 calls it
    config.pop("backend", None)
    config_file.write_text(json.dumps(config, indent=2) + "\n")


def write_rows(name: str, chats: list[list[dict]]) -> None:
    lines = [json.dumps({"messages": chat}) + "\n" for chat in chats]
    (HERE / name).write_text("".join(lines))


def main() -> None:
    torch.set_num_threads(THREADS)
    tokenizer = make_tokenizer(random.Random(SEED))
    write_rows("train.jsonl", world.rows(random.Random(SEED + 1), TRAIN_ROWS, held_out=False))
    write_rows("heldout.jsonl", world.rows(random.Random(SEED + 2), HELD_OUT_ROWS, held_out=True))
    model = make_model()
    pretrain(model, tokenizer, random.Random(SEED + 3))
    save(model, tokenizer)


if __name__ == "__main__":
    main()
