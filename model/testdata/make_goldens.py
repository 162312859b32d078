"""Writes the goldens beside this file with transformers, PEFT and PyTorch.

    PYTHONHASHSEED=0 python make_goldens.py

(PEFT writes target_modules in the order of a Python set, so the hash seed is what
makes a second run give the same bytes.) Float32 on a CPU, one thread, eager
attention, each sequence alone and without padding. README.md says what each file
holds; goldens.json is the index that the Go tests read.
"""

import json
import math
import os
import platform
import re
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import safetensors
import torch
import transformers
from peft import BdLoraConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
COLUMN_PARALLEL = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]
ROW_PARALLEL = ["o_proj", "down_proj"]
RANK, ALPHA = 8, 12
BLOCKS = [1, 2, 4]
STEPS, WARMUP = 20, 4
LEARNING_RATE, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-2, 0.1, 1.0
NEW_TOKENS = 12

SHARED = dict(num_hidden_layers=2, intermediate_size=48, rms_norm_eps=1e-5, max_position_embeddings=512)
MODELS = {
    # 4 values a head are not hidden/heads = 3.
    "gqa": dict(hidden_size=24, num_attention_heads=8, num_key_value_heads=4, head_dim=4, vocab_size=64,
                rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "tied": dict(hidden_size=24, num_attention_heads=4, num_key_value_heads=4, vocab_size=80,
                 tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    # The wavelengths of 8 values a head are 6, 167, 4443 and 118139 positions. With
    # 256 original positions the first is kept (< 256/4), the second is blended and
    # the others (> 256/1) are stretched.
    "llama3": dict(hidden_size=16, num_attention_heads=8, num_key_value_heads=4, head_dim=8, vocab_size=96,
                   tie_word_embeddings=True,
                   rope_parameters={"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0,
                                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 256}),
}
# A config that runs on the weights and adapters of gqa.
LINEAR = {**MODELS["gqa"], "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}}
LENGTHS = {"gqa": [9, 14, 4], "tied": [12, 3, 7], "llama3": [33, 17, 5], "linear": [9, 14, 4]}


# Base models.

def build_model(name):
    """A random model whose gains differ from 1 and whose attention is far from uniform."""
    config = LlamaConfig(**SHARED, **MODELS[name], attn_implementation="eager")
    model = LlamaForCausalLM(config).float().eval()
    generator = torch.Generator().manual_seed(1000 + list(MODELS).index(name))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "norm" in key:
                parameter.uniform_(0.5, 1.5, generator=generator)
            else:
                parameter.normal_(0, weight_std(key, parameter), generator=generator)
    return model


def weight_std(key, parameter):
    if "q_proj" in key or "k_proj" in key:
        return 1.6 / math.sqrt(parameter.shape[1])
    if "embed" in key or "lm_head" in key:
        return 2.0 / math.sqrt(parameter.shape[1])
    return 1.0 / math.sqrt(parameter.shape[1])


def save_model(model, folder):
    model.config.save_pretrained(folder)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    save_v4_config(folder)


def save_v4_config(folder):
    """Writes the config again as transformers 4, and so every published Llama, spells rope."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    if config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
        del config["head_dim"]
    config["transformers_version"] = "4.46.0"
    path = folder / "config.v4.json"
    path.write_text(json.dumps(config, indent=2) + "\n")
    old, new = AutoConfig.from_pretrained(path), AutoConfig.from_pretrained(folder)
    assert (old.rope_parameters, old.head_dim) == (new.rope_parameters, new.head_dim), old


# Adapters.

def lora_config(blocks, **options):
    bd = None
    if blocks > 1:
        bd = BdLoraConfig(target_modules_bd_a=ROW_PARALLEL, target_modules_bd_b=COLUMN_PARALLEL, nblocks=blocks)
    return LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, use_bdlora=bd,
                      target_modules=COLUMN_PARALLEL + ROW_PARALLEL, **options)


def add_adapter(model, name, blocks):
    """PEFT's own initial A, and a random B, as zeros would hide A."""
    torch.manual_seed(2000 + 10 * list(MODELS).index(name) + blocks)
    adapted = get_peft_model(model, lora_config(blocks)).eval()
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.normal_(0, 0.15)
    return adapted


def save_adapter(adapted, name, folder):
    adapted.peft_config["default"].base_model_name_or_path = name
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()


def trained_parameters(adapted):
    """A and B by the names that PEFT gives them in its files."""
    return {key.replace(".default", ""): p for key, p in adapted.named_parameters() if p.requires_grad}


# Numbers.

def random_sequences(name, vocab):
    """Sequences of tokens; targets[i] is tokens[i+1] where that is trained, -1 elsewhere."""
    generator = torch.Generator().manual_seed(3000)
    sequences = []
    for i, length in enumerate(LENGTHS[name]):
        tokens = [1] + torch.randint(3, vocab, (length - 1,), generator=generator).tolist()
        prompt = [length // 3, length // 2, 1][i]
        trained = [t > prompt and (i != 1 or t % 5 != 0) for t in range(length)]
        targets = [tokens[t + 1] if t + 1 < length and trained[t + 1] else -1 for t in range(length)]
        sequences.append({"tokens": tokens, "targets": targets})
    return sequences


def logits_of(model, sequences):
    return [model(torch.tensor([s["tokens"]])).logits[0] for s in sequences]


def trained_tokens(sequences):
    return sum(target >= 0 for s in sequences for target in s["targets"])


def loss_of(model, sequences):
    """The sum of -log p(target) over all trained tokens, divided by how many they are."""
    total = 0
    for logits, sequence in zip(logits_of(model, sequences), sequences):
        targets = torch.tensor(sequence["targets"])
        total = total + torch.nn.functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
    return total / trained_tokens(sequences)


def loss_of_transformers(model, sequences):
    """The same by transformers' own shift, mask and num_items_in_batch."""
    total = 0
    for s in sequences:
        labels = [-100] + [t if t >= 0 else -100 for t in s["targets"][:-1]]
        batch = torch.tensor([s["tokens"]])
        count = trained_tokens(sequences)
        total = total + model(batch, labels=torch.tensor([labels]), num_items_in_batch=count).loss
    return total


def save_numbers(model, sequences, path, with_gradients=False):
    """Writes logits.i of each sequence, and the gradient of the loss by each A and B. Returns the loss."""
    tensors = {f"logits.{i}": x.detach().contiguous() for i, x in enumerate(logits_of(model, sequences))}
    model.zero_grad()
    loss = loss_of(model, sequences)
    torch.testing.assert_close(loss, loss_of_transformers(model, sequences), rtol=1e-6, atol=0)
    if with_gradients:
        loss.backward()
        tensors |= {key: p.grad.contiguous() for key, p in trained_parameters(model).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    return loss.item()


def train(adapted, sequences):
    """20 steps on all sequences. Returns losses and norms before, and rates of, each step."""
    parameters = list(trained_parameters(adapted).values())
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8,
                                  weight_decay=WEIGHT_DECAY, foreach=False)
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses, norms, rates = [], [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(adapted, sequences)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM).item())
        losses.append(loss.item())
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return {"losses": losses, "grad_norms": norms, "learning_rates": rates,
            "final_loss": loss_of(adapted, sequences).item()}


def generate(model, prompt):
    """Greedy new tokens, and the least lead of a chosen token over the next best."""
    output = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)),
                            do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=0,
                            return_dict_in_generate=True, output_scores=True)
    tops = [scores[0].topk(2).values for scores in output.scores]
    return {"prompt": prompt, "new_tokens": output.sequences[0, len(prompt):].tolist(),
            "smallest_lead": min((top[0] - top[1]).item() for top in tops)}


# The index and the files it names. A case is one model with or without an adapter.

def new_case(name, config_of, weights_of, adapter="", blocks=0, scaling=0.0, rslora=False):
    """blocks = 0 is the base model alone."""
    case = {"name": name, "batch": config_of, "model_config": f"{config_of}/config.json",
            "model_weights": f"{weights_of}/model.safetensors"}
    if blocks:
        case |= {"adapter_config": f"{name if rslora else adapter}/adapter_config.json",
                 "adapter_weights": f"{adapter}/adapter_model.safetensors", "nblocks": blocks, "r": RANK,
                 "lora_alpha": ALPHA, "use_rslora": rslora, "scaling": scaling}
    return case | {"golden": f"{name}/golden.safetensors", "gradients": False}


def write_model(name, index):
    """The base model, and an adapter of 1, 2 and 4 blocks."""
    folder = HERE / name
    save_model(build_model(name), folder)
    sequences = index["batches"][name] = random_sequences(name, MODELS[name]["vocab_size"])
    write_case(load(folder), new_case(f"{name}/base", name, name), sequences, index)
    for blocks in BLOCKS:
        case = new_case(f"{name}/n{blocks}", name, name, f"{name}/n{blocks}", blocks, ALPHA / RANK)
        adapted = add_adapter(load(folder), name, blocks)
        save_adapter(adapted, name, HERE / case["name"])
        write_case(adapted, case | {"gradients": True}, sequences, index)
    adapted = PeftModel.from_pretrained(load(folder), folder / "n2").eval()
    prompt = sequences[0]["tokens"][:6]
    index["generations"].append({"case": f"{name}/n2"} | generate(adapted, prompt))


def load(folder):
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def write_case(model, case, sequences, index):
    path = HERE / case["golden"]
    path.parent.mkdir(parents=True, exist_ok=True)
    loss = save_numbers(model, sequences, path, case["gradients"])
    index["cases"].append(case | {"loss": loss})


def write_linear(index):
    """gqa's weights and its adapter of 2 blocks under linear rope scaling."""
    folder = HERE / "linear"
    config = LlamaConfig(**SHARED, **LINEAR, architectures=["LlamaForCausalLM"], dtype="float32")
    config.save_pretrained(folder)
    save_v4_config(folder)
    sequences = index["batches"]["linear"] = random_sequences("linear", config.vocab_size)
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(load(HERE / "gqa").state_dict())
    write_case(model, new_case("linear/base", "linear", "gqa"), sequences, index)
    adapted = PeftModel.from_pretrained(model, HERE / "gqa/n2").eval()
    case = new_case("linear/n2", "linear", "gqa", "gqa/n2", 2, ALPHA / RANK)
    write_case(adapted, case, sequences, index)


def write_rslora(index):
    """gqa's adapter of 2 blocks with alpha/sqrt(r) in place of alpha/r: only the config differs."""
    folder = HERE / "gqa/n2-rslora"
    config = LoraConfig.from_pretrained(HERE / "gqa/n2")
    config.use_rslora = True
    config.save_pretrained(folder)
    adapted = PeftModel.from_pretrained(load(HERE / "gqa"), HERE / "gqa/n2", config=config).eval()
    scaling = adapted.base_model.model.model.layers[0].self_attn.q_proj.scaling["default"]
    assert math.isclose(scaling, ALPHA / math.sqrt(RANK))
    case = new_case("gqa/n2-rslora", "gqa", "gqa", "gqa/n2", 2, scaling, rslora=True)
    write_case(adapted, case, index["batches"]["gqa"], index)


def write_trajectory(blocks, index):
    """20 AdamW steps on gqa from the adapter of gqa/n{blocks}."""
    start, final = f"gqa/n{blocks}", f"gqa/n{blocks}-trained"
    adapted = PeftModel.from_pretrained(load(HERE / "gqa"), HERE / start, is_trainable=True).eval()
    numbers = train(adapted, index["batches"]["gqa"])
    save_adapter(adapted, "gqa", HERE / final)
    index["trajectories"].append({"case": start, "final_adapter": final} | numbers)


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__, "peft": peft.__version__,
            "transformers": transformers.__version__, "safetensors": safetensors.__version__,
            "machine": f"{platform.system()} {platform.machine()}, 1 thread, float32"}


def dump(value, path):
    """JSON with a line a key, but lists of numbers on one line."""
    text = json.dumps(value, indent=1)
    text = re.sub(r"\[[^\[\]{}\"]*\]", lambda m: re.sub(r"\s+", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)
    path.write_text(text + "\n")


def main():
    assert os.environ.get("PYTHONHASHSEED") == "0", "run as: PYTHONHASHSEED=0 python make_goldens.py"
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in [*MODELS, "linear"]:
        shutil.rmtree(HERE / name, ignore_errors=True)
    optimizer = {"steps": STEPS, "warmup_steps": WARMUP, "schedule": "cosine", "learning_rate": LEARNING_RATE,
                 "adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "weight_decay": WEIGHT_DECAY,
                 "max_grad_norm": MAX_GRAD_NORM}
    index = {"versions": versions(), "batches": {}, "cases": [], "generations": [],
             "optimizer": optimizer, "trajectories": []}
    for name in MODELS:
        write_model(name, index)
    write_linear(index)
    write_rslora(index)
    for blocks in BLOCKS:
        write_trajectory(blocks, index)
    dump(index, HERE / "goldens.json")


if __name__ == "__main__":
    main()
