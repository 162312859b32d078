"""Renders the templates beside this file with transformers, into goldens.json.

Run it with transformers and jinja2 installed: python goldens.py
"""

import datetime
import glob
import json
import os

import jinja2
import transformers
from transformers.utils import chat_template_utils

HERE = os.path.dirname(os.path.abspath(__file__))


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 7, 9, 5, 0)


chat_template_utils.datetime = Clock


def turns(*contents, system=None):
    roles = ["user", "assistant"]
    start = [{"role": "system", "content": system}] if system is not None else []
    return start + [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]


CONVERSATIONS = [
    turns("What is 2+2?", "4"),
    turns("Hi", "Hello!", "How are you?", "Fine.", system="You are a pirate."),
    turns("  spaces \n", "\n\ntrim me \n", "ünï 😀 \u3000", "<think>\nold\n</think>\n\nnew"),
    turns("Q", "<think>\nfirst\n</think>\n\nA", "R", "<think>\nsecond\n</think>\n\nB"),
    turns("Only a question", system="Be kind & \"quoted\" \\ <b>"),
    turns("{{ not }} {% a %} {# template #}", "<|im_end|>\\n", system=""),
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    [{"role": "assistant", "content": "first"}, {"role": "user", "content": "b"}],
]

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def case(name, source, number, prompt):
    result = {"template": name, "conversation": number, "add_generation_prompt": prompt}
    tagged = "endgeneration" in source
    try:
        rendered, indices = chat_template_utils.render_jinja_template(
            [CONVERSATIONS[number]],
            chat_template=source,
            add_generation_prompt=prompt,
            return_assistant_tokens_mask=tagged,
            **SPECIAL,
        )
    except jinja2.TemplateError as error:
        return result | {"error": str(error)}
    result["text"] = rendered[0]
    if tagged:
        at = lambda i: len(rendered[0][:i].encode())
        result["trained"] = [[at(start), at(end)] for start, end in indices[0]]
    return result


cases = []
for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
    with open(path, newline="") as file:
        source = file.read()
    for number in range(len(CONVERSATIONS)):
        for prompt in (False, True):
            cases.append(case(os.path.basename(path), source, number, prompt))

with open(os.path.join(HERE, "goldens.json"), "w") as file:
    versions = {"transformers": transformers.__version__, "jinja2": jinja2.__version__}
    goldens = {"versions": versions, "special": SPECIAL, "conversations": CONVERSATIONS, "cases": cases}
    json.dump(goldens, file, indent=1, ensure_ascii=False)
    file.write("\n")
