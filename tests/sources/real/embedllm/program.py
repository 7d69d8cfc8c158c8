"""Writes train/, test/, stated.json and prompts.json: what EmbedLLM's own code makes of its files.

Run it in an empty folder, with the path of a checkout of EmbedLLM in EMBEDLLM, on a Python with
torch, pandas and tqdm. EmbedLLM publishes its files and has no program that writes them: these are
invented, with its columns. The accuracy of each model is what its router is compared with.
"""

import json
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(os.environ["EMBEDLLM"]) / "algorithm"))

import mf

MODELS = {10: "acme/ant-7b", 12: "acme/bee-2", 15: "cow-70b"}
CATEGORIES = {0: "sums", 3: "words, and more"}
RIGHT = {"train": {10: "11010010", 12: "11110000", 15: "11111110"}}
RIGHT["test"] = {10: "0101", 12: "1111", 15: "0010"}

stated, asked, first = [], {}, 0
data = {}
for split, of_model in RIGHT.items():
    number = len(next(iter(of_model.values())))
    rows = [
        {
            "prompt_id": first + i,
            "model_id": model,
            "category_id": list(CATEGORIES)[i % 2],
            "label": int(labels[i]),
            "model_name": MODELS[model],
            "category": CATEGORIES[list(CATEGORIES)[i % 2]],
            "prompt": f'Question "{first + i}", of\n{split}?',
        }
        for i in range(number)
        for model, labels in of_model.items()
    ]
    first += number
    data[split] = pd.DataFrame(rows)
    Path(split).mkdir()
    data[split].to_csv(f"{split}/{split}.csv", index=False)
    order = data[split][["prompt_id", "prompt"]].drop_duplicates()
    order.to_csv(f"{split}/question_order.csv", index=False)
    asked[split] = order["prompt"].tolist()

for name in CATEGORIES.values():
    of_task = {split: table[table.category == name] for split, table in data.items()}
    of_task = {split: table.reset_index(drop=True) for split, table in of_task.items()}
    loaders = mf.load_and_process_data(of_task["train"], of_task["test"])
    for split, loader in zip(("train", "test"), loaders, strict=True):
        _, _, accuracies = mf.create_router_dataloader(loader)
        for model, accuracy in zip(MODELS.values(), accuracies.values(), strict=True):
            stated.append([split, name, model, accuracy])
Path("stated.json").write_text(json.dumps(stated))
Path("prompts.json").write_text(json.dumps(asked))
