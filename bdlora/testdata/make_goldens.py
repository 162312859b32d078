"""Make the goldens of this folder with Hugging Face PEFT; see README.md."""

import json
import pathlib
import shutil

import torch
from peft import BdLoraConfig, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
MODEL = HERE / "model"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
REGEX = r"model\.layers\.\d+\.(?:self_attn\.(?!k_proj)\w+|mlp\.(?:up|down)_proj)"
ROW = ["o_proj", "down_proj"]
COLUMN = ["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"]


def blocks(n):
    return BdLoraConfig(target_modules_bd_a=ROW, target_modules_bd_b=COLUMN, nblocks=n)


ADAPTERS = {
    "plain": dict(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=ALL),
    "bd2": dict(r=8, lora_alpha=32, target_modules=ALL, use_bdlora=blocks(2)),
    "bd4": dict(r=8, lora_alpha=64, use_rslora=True, target_modules=ALL, use_bdlora=blocks(4)),
    "patterns": dict(
        r=4,
        lora_alpha=12,
        target_modules=REGEX,
        exclude_modules=["1.mlp.up_proj"],
        rank_pattern={"down_proj": 8, r"layers\.0\.self_attn\..*": 6},
        alpha_pattern={"o_proj": 3},
        use_bdlora=blocks(2),
    ),
    "layers": dict(r=2, lora_alpha=4, target_modules=["v_proj", "down_proj"], layers_to_transform=[1]),
}


def make_model():
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=4, head_dim=2, max_position_embeddings=64, tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(MODEL)
    (MODEL / "generation_config.json").unlink()


def make_adapter(name, config, dtype):
    torch.manual_seed(2)
    base = LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **config))
    for key, parameter in model.named_parameters():
        if ".lora_" in key:
            torch.nn.init.normal_(parameter, std=0.5)
            parameter.data = parameter.data.to(dtype)
    out = HERE / name
    shutil.rmtree(out, ignore_errors=True)
    model.save_pretrained(out)
    (out / "README.md").unlink()
    text = json.loads((out / "adapter_config.json").read_text())
    text["base_model_name_or_path"] = "tiny"
    (out / "adapter_config.json").write_text(json.dumps(text, indent=2, sort_keys=True) + "\n")
    loaded = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(MODEL, dtype=torch.float32), out)
    merged = loaded.merge_and_unload().state_dict()
    save_file({k: v.clone() for k, v in merged.items() if "_proj" in k}, out / "merged.safetensors")


make_model()
for name, config in ADAPTERS.items():
    make_adapter(name, config, torch.bfloat16 if name == "patterns" else torch.float32)
