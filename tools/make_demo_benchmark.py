"""Write the synthetic benchmark that `benchrouter demo` uses.

    python tools/make_demo_benchmark.py

The prompts are made from the templates below and the models do not exist: whether one of them "was
right" is drawn with the probability in SKILL. It shows how the router works and says nothing about
any real model.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "litellm_benchrouter" / "demo" / "benchmark.csv"
PROMPTS_PER_TASK = 48
MODELS = ("atlas-70b", "coder-14b", "mathsmith-8b", "polyglot-12b", "spark-3b")
# task: how often each of MODELS is right
SKILL = {
    "code": (0.72, 0.93, 0.50, 0.40, 0.35),
    "everyday": (0.95, 0.70, 0.72, 0.80, 0.82),
    "math": (0.66, 0.50, 0.96, 0.45, 0.30),
    "sql": (0.70, 0.94, 0.55, 0.40, 0.35),
    "summaries": (0.95, 0.55, 0.60, 0.80, 0.70),
    "translation": (0.76, 0.35, 0.38, 0.95, 0.40),
}
NAMES = ("Amira", "Jonas", "Wei", "Priya", "Mateo", "Nadia", "Oskar", "Yuki")
THINGS = ("apples", "tickets", "notebooks", "bottles", "tiles", "seeds", "stamps", "chairs")
TABLES = ("orders", "customers", "invoices", "shipments", "employees", "products")
COLUMNS = ("total", "country", "created_at", "status", "price", "city")
TOPICS = ("the harbour", "a bakery", "the night train", "a garden", "the library", "a bicycle")
LANGUAGES = ("French", "German", "Spanish", "Italian", "Portuguese", "Dutch")
STRUCTURES = ("a list", "a dictionary", "a string", "a binary tree", "a queue", "a matrix")
TEMPLATES = {
    "code": (
        "Write a Python function that reverses {structure} of {things} without recursion.",
        "This function raises an IndexError when {structure} of {things} is empty. Fix the bug.",
        "Refactor this class so that {structure} of {things} is passed in, not created inside.",
        "Write unit tests with pytest for a function that sorts {structure} of {things}.",
    ),
    "everyday": (
        "What should I pack for a weekend visit to {topic}?",
        "Suggest a friendly name for {topic}.",
        "How do I thank {name} for the invitation to {topic}?",
        "Give me three ideas for a rainy afternoon near {topic}.",
    ),
    "math": (
        "{name} has {a} {things} and gives away {b} percent of them. How many are left?",
        "Solve for x: {b}x + {a} = {c}. Show each step of the calculation.",
        "What is the probability of drawing {b} red balls in a row from {a}, half of them red?",
        "Compute the area of a rectangle with sides {a} and {b}, then its diagonal.",
    ),
    "sql": (
        "Write a SQL query that returns the ten largest values of {column} from {table}.",
        "Join {table} with customers and count the rows for each {column} with GROUP BY.",
        "Which index makes SELECT * FROM {table} WHERE {column} = 'x' faster?",
        "Write an UPDATE statement that sets {column} to NULL in {table} for cancelled rows.",
    ),
    "summaries": (
        "Summarise the following report about {topic} in two sentences for the board.",
        "Write a one-line headline for this article about {topic}.",
        "List the key points of {name}'s meeting notes about {topic}.",
        "Shorten this email from {name} about {topic} without losing the deadline.",
    ),
    "translation": (
        "Translate into {language}: the {things} arrive on Monday morning.",
        "How do you say 'I would like to visit {topic}' in {language}?",
        "Translate this {language} sentence about {topic} into English.",
        "Correct the grammar of my {language} letter to {name}.",
    ),
}


def main() -> None:
    """Draw prompts and outcomes and write the table."""
    generator = np.random.default_rng(7)
    rows = []
    for task, templates in sorted(TEMPLATES.items()):
        seen: set[str] = set()
        while len(seen) < PROMPTS_PER_TASK:
            prompt = str(generator.choice(templates)).format(
                name=generator.choice(NAMES),
                things=generator.choice(THINGS),
                table=generator.choice(TABLES),
                column=generator.choice(COLUMNS),
                topic=generator.choice(TOPICS),
                language=generator.choice(LANGUAGES),
                structure=generator.choice(STRUCTURES),
                a=generator.integers(12, 400),
                b=generator.integers(2, 40),
                c=generator.integers(400, 900),
            )
            if prompt in seen:
                continue
            number = len(seen)
            seen.add(prompt)
            right = (generator.random(len(MODELS)) < SKILL[task]).astype(int)
            rows.append([f"{task}-{number:02d}", task, prompt, *right.tolist()])
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["sample_id", "task", "prompt", *MODELS])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
