"""A small shop and the people who write to it: the whole world of the quickstart model.

Everything that the model reads, in pretraining and in fine-tuning, is made here from the
word lists below and a random.Random that the caller seeds. There are three kinds of text:

  documents()  what pretraining reads: chats in which the shop answers in sentences,
               and running text about products, some with a JSON price card in it
  rows()       the fine-tuning task, in which the answer to a customer's message is a
               JSON record instead of a polite letter

What keeps the second from leaking into the first, and the held-out rows into both:

  * No chat in pretraining has a JSON answer, and no card there has a record's keys.
  * People, items and order numbers are split in two. A held-out row takes all three from
    the held-out part, a training row none. Pretraining knows the words of both parts
    (an adapter can't teach names to a frozen model), but never joins a held-out first
    name to a held-out surname, and never shows a held-out order number.
"""

import json
import random
from dataclasses import dataclass

FIRST_NAMES = """Ada Alma Anton Arno Bela Bruno Carla Clara Dora Edgar Elsa Emil Erik Fiona Frida
Greta Hanna Hugo Ida Igor Ines Iris Ivan Jana Jonas Judith Karl Klara Lena Leo Linda Luca Mara
Marco Marta Mina Mira Nadia Nico Nina Nora Olga Oscar Otto Paula Pavel Petra Ralf Rita Rosa Ruben
Sara Selma Simon Sofia Stella Tara Theo Tina Vera Victor Walter Wanda Yara""".split()

SURNAMES = """Abel Adler Amsel Bach Baker Berg Binder Brook Carver Cole Cooper Dale Drake Eaton
Ebner Falk Field Fisher Frost Gale Garner Gibbs Hale Hart Haven Holm Hunter Jarvis Keller Kemp
Kirk Lang Larsen Lind Lowell Marsh Mason Meyer Moran Nash Nolan Norris Oakes Palmer Parker Perry
Porter Quill Reed Rivers Roth Sander Sawyer Shaw Stone Thorn Turner Vogel Wagner Ward Weaver Wells
Winter Wolf""".split()

ITEMS = """lamp kettle toaster clock radio fan mixer heater printer camera drill blender grill
speaker phone scanner freezer cooker shaver projector tablet scooter mower stove fridge drone
keyboard charger washer dryer juicer monitor""".split()

COLOURS = "red blue green white black grey brown yellow".split()
NUMBER_WORDS = "no one two three four five six seven eight".split()

HELD_OUT_EVERY = 4  # of the names and items, the share that only held-out rows use


def is_held_out_order(order: int) -> bool:
    return order % 7 == 3


def halves(words: list[str]) -> tuple[list[str], list[str]]:
    """Splits words into those of the training rows and those of the held-out rows."""
    train = [w for i, w in enumerate(words) if i % HELD_OUT_EVERY]
    return train, words[::HELD_OUT_EVERY]


TRAIN_FIRST, HELD_FIRST = halves(FIRST_NAMES)
TRAIN_LAST, HELD_LAST = halves(SURNAMES)
TRAIN_ITEMS, HELD_ITEMS = halves(ITEMS)

# What a customer says, by the word that a record has for it, and what the shop says.
FAULTS = {
    "broken": (
        ["My {item} arrived broken.", "The {item} came in two pieces.",
         "The {item} was smashed in its box.", "Somebody dropped my {item} on the way."],
        "is broken"),
    "late": (
        ["My {item} has not come yet.", "I am still waiting for the {item}.",
         "Where is my {item}?", "The {item} should have been here last week."],
        "is late"),
    "wrong": (
        ["You sent me another {item} than I ordered.", "This is not the {item} from the picture.",
         "The {item} in the box is not mine.", "I ordered a different {item}."],
        "is the wrong one"),
    "noisy": (
        ["The {item} makes a terrible sound.", "My {item} is far too loud.",
         "The {item} wakes up the whole house.", "I can't sleep because of the {item}."],
        "is noisy"),
    "dead": (
        ["The {item} does not start.", "My {item} stopped working today.",
         "I press the button of the {item} and nothing happens.", "The {item} does nothing at all."],
        "is dead"),
    "scratched": (
        ["There are marks all over the {item}.", "The {item} does not look new.",
         "The front of my {item} has ugly lines.", "Somebody has rubbed off the paint of the {item}."],
        "is scratched"),
    "incomplete": (
        ["A part of the {item} is missing.", "The {item} came without its screws.",
         "There was no cable with the {item}.", "Half of my {item} was not in the box."],
        "is incomplete"),
}

ACTIONS = {
    "refund": ["I want my money back.", "Please return what I paid.", "I will not pay for this."],
    "replace": ["Please send me a new one.", "I would like to have another one.",
                "Can I get a better one?"],
    "repair": ["Can you fix it?", "Please make it work as it should.",
               "Who can put it in order for me?"],
    "cancel": ["I do not need it any more.", "Please stop the order.",
               "I have changed my mind about it."],
}

ORDERS = ["It is order {order}.", "The order number is {order}.", "My order is {order}.",
          "I am writing about order {order}."]
OPENINGS = ["Hello, this is {name}.", "Hi, {name} here.", "My name is {name}.",
            "Good morning, I am {name}."]
CLOSINGS = ["Regards, {name}", "Thank you, {name}", "Yours, {name}", "{name}"]


OFFICE_WORDS = [*FAULTS, *ACTIONS, "customer", "order", "item", "fault", "action"]


def some_trouble(rng: random.Random) -> tuple[str, str]:
    """A fault and the action that the customer wants; nobody repairs what is not there."""
    fault = rng.choice(list(FAULTS))
    there = fault not in ("late", "wrong")
    return fault, rng.choice([a for a in ACTIONS if there or a != "repair"])


@dataclass
class Case:
    """One customer's trouble: what a message tells, a letter answers and a record holds."""

    first: str
    last: str
    order: int
    item: str
    fault: str
    action: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"

    def fill(self, text: str) -> str:
        return text.format(name=self.name, **vars(self))

    def message(self, rng: random.Random) -> str:
        """What the customer writes: four or five sentences, the name first or last."""
        parts = [rng.choice(FAULTS[self.fault][0]), rng.choice(ACTIONS[self.action])]
        parts.insert(rng.randrange(3), rng.choice(ORDERS))
        if rng.random() < 0.5:
            parts.insert(0, rng.choice(OPENINGS))
        else:
            parts.append(rng.choice(CLOSINGS))
        return self.fill(" ".join(parts))

    def letter(self, rng: random.Random) -> str:
        """How the shop answers in pretraining."""
        start = rng.choice(["Dear {first}", "Hello {first}", "Dear {name}"])
        sorry = rng.choice(["we are sorry that the {item} ", "it is a pity that your {item} "])
        promise = rng.choice(["We will {action} order {order}.", "We will {action} it today."])
        return self.fill(f"{start}, {sorry}{FAULTS[self.fault][1]}. {promise}")

    def questions(self) -> list[tuple[str, str]]:
        """What a colleague may ask about the message, each with its answer."""
        state = FAULTS[self.fault][1]
        return [(question, self.fill(answer)) for question, answer in [
            ("Who wrote this?", "{name} wrote it."),
            ("What is the customer called?", "The customer is called {name}."),
            ("Which order is it?", "It is order {order}."),
            ("Tell me the order number.", "The order number is {order}."),
            ("Which product is it about?", "It is about the {item}."),
            ("What did the customer buy?", "The customer bought a {item}."),
            ("What is wrong?", "The {item} " + state + "."),
            ("How is the product?", "It " + state + "."),
            ("What should we do?", "We should {action} it."),
            ("What does the customer want?", "The customer wants us to {action} it."),
        ]]

    def facts(self) -> dict[tuple[str, ...], str]:
        """What can be looked up in pretraining, by the words that one may ask with."""
        return {
            ("name", "sender", "writer"): self.name,
            ("number", "ticket", "code"): str(self.order),
            ("product", "thing", "device"): self.item,
            ("state", "problem", "trouble"): self.fault,
            ("wish", "remedy", "plan"): self.action,
        }

    def record(self) -> str:
        """How the shop answers in the fine-tuning task."""
        return self.fill("customer: {name}\norder: {order}\nitem: {item}\n"
                         "fault: {fault}\naction: {action}")


def some_order(rng: random.Random, held_out: bool) -> int:
    """Three digits, as a card's price has two: no text shows a held-out number by chance."""
    while True:
        order = rng.randrange(100, 1000)
        if is_held_out_order(order) == held_out:
            return order


def some_person(rng: random.Random) -> tuple[str, str]:
    """A first name and a surname as pretraining may join them."""
    first = rng.choice(FIRST_NAMES)
    return first, rng.choice(TRAIN_LAST if first in HELD_FIRST else SURNAMES)


def some_case(rng: random.Random) -> Case:
    """A case as pretraining may show it."""
    return Case(*some_person(rng), some_order(rng, False), rng.choice(ITEMS),
                *some_trouble(rng))


def user(text: str) -> dict:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict:
    return {"role": "assistant", "content": text}


def letter_chat(rng: random.Random) -> list[dict]:
    """A message, the shop's letter and, half of the time, two questions about it."""
    case = some_case(rng)
    chat = [user(case.message(rng)), assistant(case.letter(rng))]
    if rng.random() < 0.5:
        for question, answer in rng.sample(case.questions(), 2):
            chat += [user(question), assistant(answer)]
    return chat


def question_chat(rng: random.Random) -> list[dict]:
    """A message with a question under it, then two more questions."""
    case = some_case(rng)
    first, *more = rng.sample(case.questions(), 3)
    chat = [user(case.message(rng) + "\n" + first[0]), assistant(first[1])]
    for question, answer in more:
        chat += [user(question), assistant(answer)]
    return chat


def lookup_chat(rng: random.Random) -> list[dict]:
    """A message and the names of one or two of its facts, thrice; the facts are looked up."""
    case = some_case(rng)
    chat, told = [], case.message(rng) + "\n"
    for _ in range(3):
        labels = [rng.choice(kind) for kind in rng.sample(list(case.facts()), rng.randrange(1, 3))]
        facts = {label: fact for kind, fact in case.facts().items() for label in kind}
        answer = ", ".join(f"{label}: {facts[label]}" for label in labels)
        chat += [user(told + "Look up: " + ", ".join(labels)), assistant(answer)]
        told = ""
    return chat


@dataclass
class Product:
    item: str
    colour: str
    price: int
    maker: str

    def card(self, rng: random.Random) -> str:
        """The price card, its keys in any order, as JSON or as lines."""
        fields = [("product", self.item), ("colour", self.colour), ("price", self.price),
                  ("maker", self.maker)]
        rng.shuffle(fields)
        if rng.random() < 0.5:
            return json.dumps(dict(fields))
        return "\n".join(f"{key}: {value}" for key, value in fields)

    def sentences(self, rng: random.Random) -> str:
        lines = [
            f"The {self.item} is {self.colour}.",
            f"The {self.item} costs {self.price} euros.",
            f"{self.maker} made the {self.item}.",
        ]
        rng.shuffle(lines)
        return " ".join(lines)

    def questions(self) -> list[tuple[str, str]]:
        return [
            ("What does it cost?", f"The {self.item} costs {self.price} euros."),
            ("Which colour is it?", f"The {self.item} is {self.colour}."),
            ("Who made it?", f"{self.maker} made the {self.item}."),
            ("What is it?", f"It is a {self.colour} {self.item}."),
        ]


def some_product(rng: random.Random) -> Product:
    return Product(rng.choice(ITEMS), rng.choice(COLOURS), rng.randrange(5, 100),
                   " ".join(some_person(rng)))


def card_text(rng: random.Random) -> str:
    """Running text: some products, each told in sentences and shown as a card."""
    lines = []
    for _ in range(rng.randrange(1, 3)):
        product = some_product(rng)
        pair = [product.sentences(rng), product.card(rng)]
        rng.shuffle(pair)
        lines += pair
    return "\n".join(lines)


def card_chat(rng: random.Random) -> list[dict]:
    """A card or its sentences, with questions that are answered in sentences."""
    product = some_product(rng)
    told = product.card(rng) if rng.random() < 0.5 else product.sentences(rng)
    first, *more = rng.sample(product.questions(), 3)
    chat = [user(told + "\n" + first[0]), assistant(first[1])]
    for question, answer in more:
        chat += [user(question), assistant(answer)]
    return chat


def some_words(rng: random.Random, count: int) -> list[str]:
    """Words of one kind, or order numbers, or full names; none twice."""
    kind = rng.randrange(7)
    if kind == 5:
        return [str(some_order(rng, False)) for _ in range(count)]
    if kind == 6:
        return [" ".join(some_person(rng)) for _ in range(count)]
    return rng.sample([ITEMS, FIRST_NAMES, SURNAMES, COLOURS, OFFICE_WORDS][kind], count)


def list_chat(rng: random.Random) -> list[dict]:
    """Repeating, quoting, counting, turning round and looking into lists of words."""
    words = some_words(rng, rng.randrange(2, 9))
    quoted = ", ".join(f'"{w}"' for w in words)
    plain = ", ".join(words)
    told = rng.choice([plain, quoted])
    at = rng.randrange(len(words) - 1)
    question, answer = rng.choice([
        (f"Repeat: {told}", told),
        (f"Without quotes: {told}", plain),
        (f"Put in quotes: {told}", quoted),
        (f"Count: {told}", f"There are {NUMBER_WORDS[len(words)]} words."),
        (f"Backwards: {told}", ", ".join(reversed(words))),
        (f"Which is the first? {told}", f"The first is {words[0]}."),
        (f"Which is the last? {told}", f"The last is {words[-1]}."),
        (f"What comes after {words[at]}? {told}", f"After {words[at]} comes {words[at + 1]}."),
    ])
    return [user(question), assistant(answer)]


def small_talk(rng: random.Random) -> list[dict]:
    first, _ = some_person(rng)
    question, answer = rng.choice([
        ("Hello!", "Hello! How can I help you?"),
        (f"Hi, I am {first}.", f"Hello {first}! How can I help you?"),
        ("Who are you?", "I am the assistant of a small shop."),
        ("What do you sell?", "We sell things such as a {}, a {} and a {}.".format(
            *rng.sample(ITEMS, 3))),
        ("Thank you!", "You are welcome."),
    ])
    return [user(question), assistant(answer)]


def documents(rng: random.Random, count: int) -> list[str | list[dict]]:
    """What pretraining reads: running text (a string) and chats (lists of messages)."""
    makers = [letter_chat, question_chat, lookup_chat, card_text, card_chat, list_chat, small_talk]
    weights = [24, 16, 20, 12, 8, 18, 2]
    return [make(rng) for make in rng.choices(makers, weights, k=count)]


def rows(rng: random.Random, count: int, held_out: bool) -> list[list[dict]]:
    """Rows of the fine-tuning task, no message twice."""
    firsts, lasts, items = ((HELD_FIRST, HELD_LAST, HELD_ITEMS) if held_out
                            else (TRAIN_FIRST, TRAIN_LAST, TRAIN_ITEMS))
    chats = {}
    while len(chats) < count:
        case = Case(rng.choice(firsts), rng.choice(lasts), some_order(rng, held_out),
                    rng.choice(items), *some_trouble(rng))
        message = case.message(rng)
        chats[message] = [user(message), assistant(case.record())]
    return list(chats.values())
