"""Makes the golden files of this folder: python make.py

For each layout, layout/tokenizer.json is a small tokenizer, and layout/cases.json
what the tokenizers library says about a few hundred strings:

    text    the string
    ids     encode(text, add_special_tokens=True)
    offsets [start, end] of each token in text, in bytes, without those put around it;
            left out where a byte of text has no token, after which the library is
            wrong, and where NFC changes text
    text2   decode(ids, skip_special_tokens=True), if it is not text

and layout/words.json is how its pre-tokenizer cuts texts up: lists of words.
"""

import json
import os
import random
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog. Don't we'll they've I'm it's you're he'd go?",
    "func main() {\n\tfor i := 0; i < 100; i++ {\n\t\tfmt.Println(\"hello, world\", i)\n\t}\n}\n",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Où est l'été, garçon?",
    "人人生而自由，在尊严和权利上一律平等。すべての人間は、生まれながらにして自由である。",
    "Все люди рождаются свободными и равными. Όλοι οι άνθρωποι γεννιούνται ελεύθεροι.",
    "In 2024, 3.14159 and 1,000,000 were numbers; 12 + 34 = 46.    Four spaces.\r\n\r\nAn end.",
] * 3
FRAGMENTS = """Hello| world|'s|'LL|'ſ|don't|WE'VE|  |   \n|\n\n|\r\n|\t|\x85|\xa0|\u3000|\u2028|\
\ufeff|\u200d|e\u0301|é|n\u0303|\u1100\u1161\u11a8|각|\u0344|\u212b|Å|\u0958|日本語|人人生而|\
สวัสดี|नमस्ते|مرحبا|👩\u200d👩\u200d👧|🇩🇪|👍🏽|123|4567890|1|½|Ⅻ|٣٤٥|１２|3.14|x=1;|\
func main() {|/* */|<div>|!!!|...|--|"'|''s|'re'|\x00|\x06|\x7f|\ud7a3|\U0010ffff|\
aaaaaaaaaaaaaaaaaaaaaaaa|          |====|_|http://a.b/c?d=e&f|ǅ|ß|İ|ı|𝔘𝔫𝔦|𐐷|\u0301|\
\u0327\u0301|a\u0301\u0327|\u0f73\u0f71|q\u0307\u0323|\U00016d70\U000105c0|\U00011de0|\
\u1df6|s| |.|the fox| über""".split("|")

SPLITTING = """'s|'S|'ſ|'t|'re|'VE|'m|'ll|'lL|'d|'D|\
'|a|Zx|ß|1|22|333|½|!|?!|_|\n|\r\n|\r| |  |   |\t|\xa0|\x85|\u3000|\u0301|人""".split("|")


def byte_level(use_regex):
    return pre.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def split(digits):
    return pre.Sequence([pre.Split(Regex(PATTERN % digits), "isolated"), byte_level(False)])


def special(content, **flags):
    return AddedToken(content, special=True, normalized=False, **flags)


def train(pre_tokenizer, alphabet, specials):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def smollm2():
    """Digits, then GPT-2's pattern; bytes that the corpus has not have no token."""
    pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), byte_level(True)])
    specials = [special(s) for s in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    return train(pre_tokenizer, [], specials)


def llama3():
    """Numbers by three, whole words first, a token before each text, old merges."""
    tokenizer = train(split("{1,3}"), sorted(pre.ByteLevel.alphabet()), [])
    tokenizer.add_special_tokens([special("<|begin_of_text|>"), special("<|eot_id|>")])
    bos = ("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))
    template = processors.TemplateProcessing(single=f"{bos[0]} $A", pair=f"{bos[0]} $A $B", special_tokens=[bos])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    config = json.loads(tokenizer.to_str())
    config["model"]["ignore_merges"] = True
    config["model"]["merges"] = [" ".join(pair) for pair in config["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(config)), config


def qwen():
    """NFC, numbers one by one, added tokens of every kind."""
    tokenizer = train(split(""), sorted(pre.ByteLevel.alphabet()), [])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens([special("<|im_end|>"), special("<l>", lstrip=True), special("<r>", rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("<tool_call>", normalized=False),
            AddedToken("<tool_call>\n", normalized=False),
            AddedToken("zword", single_word=True),
            AddedToken("e\u0301q", normalized=True),
            AddedToken("  ", lstrip=True, rstrip=True, normalized=False),
        ]
    )
    return tokenizer


def cases(tokenizer, added):
    rnd = random.Random(1)
    pool = FRAGMENTS + added + added
    texts = [""] + FRAGMENTS + added
    while len(texts) < 300:
        texts.append("".join(rnd.choice(pool) for _ in range(rnd.randint(2, 6))))
    bare = Tokenizer.from_str(tokenizer.to_str())
    bare.post_processor = processors.ByteLevel(trim_offsets=False)
    return [case(tokenizer, bare, text) for text in texts]


def case(tokenizer, bare, text):
    ids = tokenizer.encode(text).ids
    plain = bare.encode(text)
    out = {"text": text, "ids": ids}
    at = [0]
    for char in text:
        at.append(at[-1] + len(char.encode()))
    changed = tokenizer.normalizer is not None and not unicodedata.is_normalized("NFC", text)
    if not changed and not dropped(tokenizer, text):
        out["offsets"] = [[at[start], at[end]] for start, end in plain.offsets]
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    if decoded != text:
        out["text2"] = decoded
    return out


def dropped(tokenizer, text):
    """Whether a byte of text has no token."""
    vocab = tokenizer.get_vocab()
    return any(char not in vocab for word, _ in byte_level(False).pre_tokenize_str(text) for char in word)


def words(tokenizer):
    """Texts cut up by all of the pre-tokenizer but its last step, which spells bytes."""
    rnd = random.Random(2)
    out = []
    for _ in range(400):
        text = "".join(rnd.choice(SPLITTING) for _ in range(rnd.randint(1, 7)))
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        out.append([text[start:end] for _, (start, end) in pieces])
    return out


def write(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(value)


for name, made in {"smollm2": smollm2(), "llama3": llama3(), "qwen": qwen()}.items():
    tokenizer, config = made if isinstance(made, tuple) else (made, json.loads(made.to_str()))
    added = [a["content"] for a in config["added_tokens"]]
    lines = [json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases(tokenizer, added)]
    write(os.path.join(HERE, name, "tokenizer.json"), json.dumps(config, ensure_ascii=False, separators=(",", ":")))
    write(os.path.join(HERE, name, "cases.json"), "[\n" + ",\n".join(lines) + "\n]\n")
    lines = [json.dumps(w, ensure_ascii=True, separators=(",", ":")) for w in words(tokenizer)]
    write(os.path.join(HERE, name, "words.json"), "[\n" + ",\n".join(lines) + "\n]\n")
