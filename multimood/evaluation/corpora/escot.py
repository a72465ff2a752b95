"""ESCoT (Zhang et al., ACL 2024): the context of one reply a line, with the reply and the reasons for it."""

import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Final

from multimood.evaluation.corpora._turns import merged, spoken
from multimood.evaluation.corpora.esconv import ROLES
from multimood.evaluation.rows import Corpus, Dialogue, Part, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES

FILES: Final = ("escot.jsonl", "dialogue/escot.jsonl")
AS_ESCONV: Final = MappingProxyType(
    {
        "specify": "question",
        "summarize": "restatement or paraphrasing",
        "homework assignments": "providing suggestions",
        "homework assignment": "providing suggestions",
        "immediacy": "self-disclosure",
    }
)
"""ESCoT's own strategies in ESConv's terms (by Hill's helping skills, from which both come). "Take responsibility" and
"imagery" have no counterpart: such rows are counted, and not scored for strategy."""
WORDS: Final = MappingProxyType(
    {
        "anger": "angry anger furious resentful resentment frustrated frustration irritated annoyed betrayed bitter",
        "sadness": "sad sadness saddened hurt heartbroken grief grieving lonely loneliness alone isolated disappointed "
        "disappointment unhappy devastated upset homesick miserable neglected disconnected",
        "depression": "depressed depression hopeless hopelessness helpless empty emptiness numb exhausted drained "
        "discouraged defeated worthless unmotivated demotivated disheartened",
        "fear": "anxious anxiety scared worried worry nervous afraid fearful fear terrified insecure uneasy",
        "disgust": "disgusted disgust",
        "joy": "happy joyful joy relieved hopeful excited proud grateful content",
        "surprise": "shocked surprised surprise astonished",
        "neutral": "neutral calm",
    }
)
"""ESCoT says emotions in sentences; the first of these words decides. Many have none ("overwhelmed", "stressed",
"lost"): they are counted, and not scored for emotion."""
_EMOTION_OF: Final = MappingProxyType({word: emotion for emotion, words in WORDS.items() for word in words.split()})
_WORD: Final = re.compile(r"[a-z]+")


def read(source: Source) -> Sequence[Part]:
    """The context as said, and the reply to it as its last row."""
    every = source.chosen(source.objects(source.file(*FILES)), lambda one: one.get("split"))
    dialogues = [Dialogue(str(number), _rows(source, one)) for number, one in enumerate(every)]
    tasks = (
        Task("user_emotion", "user_emotion", "emotion", EMOTIONS),
        Task("strategy", "strategy", "strategy", ESCONV_STRATEGIES),
    )
    return [Part(dialogues, tasks, taxonomy="esconv", replies="last")]


def _rows(source: Source, one: dict[str, Any]) -> list[Row]:
    said = spoken(source, one.get("dialog"), ("content", "text"), ROLES)
    turns = list(merged(said))
    last = max((place for place, (role, _, _) in enumerate(turns) if role == "user"), default=-1)
    felt = emotion_in(one.get("emotion"))
    if felt is None and one.get("emotion"):
        source.note("emotions in words without a counterpart, not scored")
    rows = [
        Row(Seen(role, text=text), truth_of(user_emotion=felt if place == last else None))
        for place, (role, text, _) in enumerate(turns)
    ]
    reply = one.get("response")
    if isinstance(reply, str) and reply.strip():
        named = one.get("strategy")
        plain = named.strip().lower() if isinstance(named, str) else None
        known = label_in(source, ESCONV_STRATEGIES, AS_ESCONV.get(plain or "", plain), "strategies")
        rows.append(Row(Seen("system", text=reply.strip()), truth_of(strategy=known)))
    return rows


def emotion_in(sentence: Any) -> str | None:
    """The emotion that the first word of `WORDS` in a sentence names."""
    words = _WORD.findall(sentence.lower()) if isinstance(sentence, str) else ()
    return next((_EMOTION_OF[word] for word in words if word in _EMOTION_OF), None)


CORPUS: Final = Corpus(
    "escot",
    "Emotion, strategy and reply in ESCoT.",
    "escot.jsonl, the folder that holds it, or the folder above dialogue/",
    read,
    "Strategies in ESConv's terms. Emotions are sentences in this corpus, and are read by a list of words: what is "
    "measured is agreement with that list.",
)
