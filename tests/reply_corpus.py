"""Invented dialogues in the forms of ESConv and MESC."""

import json
from pathlib import Path

WORDS = (
    "I lost my job on Friday.",
    "That sounds hard. What happened then?",
    "They closed the shop.",
    "You did your best.",
)


def corpus(folder: Path, *, second: str = "", third: str = "", last: str = "") -> Path:
    """Invented dialogues in the two corpora's forms; the last four of twelve are held for validation."""
    (folder / "dialogue").mkdir(parents=True)
    lines: dict[str, list[str]] = {"esconv": [], "mesc": []}
    for number in range(12):
        split = "val" if number >= 8 else "train"
        words = [given or usual for given, usual in zip(("", second, third, last), WORDS, strict=True)]
        said = [f"{text} {'abcdefghijkl'[number]}." for text in words]
        peers = [
            {"speaker": ("seeker", "supporter")[place % 2], "content": text, "strategy": ("", "Question")[place % 2]}
            for place, text in enumerate(said)
        ]
        therapy = [
            {"speaker": ("Client", "Therapist")[place % 2], "text": text, "strategy": ("", "restatement")[place % 2]}
            for place, text in enumerate(said)
        ]
        lines["esconv"].append(json.dumps({"split": split, "dialog": peers}))
        lines["mesc"].append(json.dumps({"split": split, "dialogue_id": str(number), "utterances": therapy}))
    for name, found in lines.items():
        (folder / "dialogue" / f"{name}.jsonl").write_text("\n".join(found) + "\n", encoding="utf-8")
    return folder
