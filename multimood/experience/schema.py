"""The columns of the experience log, version 2: the public contract, in the order of the file.

A column is never renamed, retyped or given another meaning. New ones are added at the end, and readers take a column
that a file lacks for null. Anything else is a new version under another prefix. Version 1 had the platform's own ids,
no hashes in `models`, and ended with `timings`; `multimood.experience.rows` reads it still.
"""

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa

from multimood.perception.state import VERSIONS, names_of
from multimood.taxonomy import CRITERIA

VERSION: Final = 2
READABLE: Final = (1, 2)
"""Versions that the reader knows."""

Row: TypeAlias = dict[str, Any]
"""A row as `pyarrow.Table.to_pylist` gives it; times may also be int, microseconds since the epoch."""

Part: TypeAlias = Literal["identity", "decision", "reply", "trust", "derived"]

TIME: Final = pa.timestamp("us", tz="UTC")
TEXT: Final = pa.string()
DISTRIBUTION: Final = pa.list_(pa.struct([pa.field("label", TEXT), pa.field("p", pa.float64())]))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: where its value comes from, and what it means."""

    name: str
    type: Any
    part: Part
    meaning: str


def _structs(**fields: Any) -> Any:
    return pa.list_(pa.struct([pa.field(name, kind) for name, kind in fields.items()]))


COLUMNS: Final = (
    Column("schema_version", pa.int32(), "identity", "Version of this table: 2."),
    Column(
        "row_id",
        TEXT,
        "identity",
        "Pseudonym of the decision's event id, a UUID: the row's key. Equal ids are one row.",
    ),
    Column("tenant", TEXT, "identity", "Whose platform it was."),
    Column("conversation_id", TEXT, "identity", "Pseudonym of the conversation, 32 hexadecimal digits."),
    Column("utterance_id", TEXT, "identity", "Pseudonym of the utterance, 32 hexadecimal digits."),
    Column("occurred_at", TIME, "identity", "When the person said it, by the platform's clock."),
    Column("locale", TEXT, "identity", "BCP 47; `en` when the platform named none."),
    Column("learning_consent", pa.bool_(), "identity", "Always true: without consent there is no row."),
    Column("retention_class", TEXT, "identity", "Class of the operator's retention policy; `standard` by default."),
    Column("has_decision", pa.bool_(), "derived", "The columns of the decision are filled."),
    Column("has_reply", pa.bool_(), "derived", "The columns of the reply are filled."),
    Column(
        "fit_for_ope",
        pa.bool_(),
        "derived",
        "The chosen strategy is the policy's own sample, was carried out, and its propensity is known.",
    ),
    Column(
        "unfit_reason",
        TEXT,
        "derived",
        "Why not: `no_decision`, `no_reply`, `override`, `no_propensity`, `not_carried_out`; null when fit.",
    ),
    Column("step", pa.int32(), "decision", "Number of the person's turn in the conversation, from 0."),
    Column("decided_at", TIME, "decision", "When the decision was made, by the strategist's clock."),
    Column("modalities", pa.list_(TEXT), "decision", "What was announced: `text`, `audio`, `video`."),
    Column("missing", _structs(modality=TEXT, reason=TEXT), "decision", "What could not be used of it, and why."),
    Column(
        "screening_level",
        TEXT,
        "decision",
        "`none`, `low`, `elevated`, `imminent`, `unscreened`; null: no verdict came in time.",
    ),
    Column("screening_rules", pa.list_(TEXT), "decision", "Ids of the crisis rules that fired."),
    Column("screening_score", pa.float32(), "decision", "Probability of crisis language, 0..1."),
    Column("screening_version", TEXT, "decision", "Version of rules and classifier."),
    Column("user_emotion", DISTRIBUTION, "decision", "Distribution over the eight emotions; sums to 1."),
    Column(
        "modality_emotions",
        _structs(modality=TEXT, emotion=DISTRIBUTION),
        "decision",
        "The same, as each modality shows it by itself.",
    ),
    Column("intensity", pa.float32(), "decision", "Strength of the emotion, 0..1."),
    Column("stage", TEXT, "decision", "`exploration`, `comforting` or `action`."),
    Column("system_emotion", DISTRIBUTION, "decision", "The emotion the reply should carry; sums to 1."),
    Column(
        "strategy",
        DISTRIBUTION,
        "decision",
        "The eligible strategies with the behaviour policy's probability of each; sums to 1.",
    ),
    Column("chosen", TEXT, "decision", "The strategy that was sampled."),
    Column("propensity", pa.float64(), "decision", "The behaviour policy's probability of `chosen`, in (0, 1]."),
    Column(
        "override",
        TEXT,
        "decision",
        "`none`, or why the action was not the policy's: `crisis`, `unscreened`, `no_input`, `model_unavailable`, "
        "`escalated`, `evidence`.",
    ),
    Column("policy_version", TEXT, "decision", "Version of the policy."),
    Column(
        "models",
        _structs(name=TEXT, version=TEXT, sha256=TEXT),
        "decision",
        "The models behind the decision; `sha256` of the graph, hexadecimal, where it is known.",
    ),
    Column(
        "dialogue",
        _structs(role=TEXT, text=TEXT, utterance_id=TEXT, label=TEXT),
        "decision",
        "CONTENT. The last turns, oldest first, the person's current one last. `role` is `user` or `system`, "
        "`label` the emotion of the one and the strategy of the other, `utterance_id` a pseudonym.",
    ),
    Column("replied_at", TIME, "reply", "When the reply was published, by its service's clock."),
    Column("reply_text", TEXT, "reply", "CONTENT. What was answered."),
    Column("reply_source", TEXT, "reply", "`generated`, `vetted_crisis` or `vetted_fallback`."),
    Column("reply_reason", TEXT, "reply", "Of a vetted reply: why. Null else."),
    Column("reply_vetted_id", TEXT, "reply", "Of a vetted reply: which. Null else."),
    Column("reply_strategy", TEXT, "reply", "The strategy that the reply was asked to follow; null: none."),
    Column("reply_model", TEXT, "reply", "The model that wrote it; null: none did."),
    Column("reply_model_version", TEXT, "reply", "Its version."),
    Column("prompt_version", TEXT, "reply", "Name and hash of the prompt template; null: there was no prompt."),
    Column("prompt_sha256", TEXT, "reply", "SHA-256 of the rendered prompt, hexadecimal; null: there was no prompt."),
    Column("prompt_tokens", pa.int64(), "reply", "Tokens of the prompt."),
    Column("completion_tokens", pa.int64(), "reply", "Tokens of the reply."),
    Column("first_token_us", pa.int64(), "reply", "Microseconds from receiving the decision to the first token."),
    Column("reply_partition", pa.int32(), "reply", "Partition of the reply's record on Kafka."),
    Column("reply_offset", pa.int64(), "reply", "Offset of it. Rows of an object are in this order."),
    *(
        Column(f"score_{name}", pa.float64(), "trust", f"Trust criterion {name}, 1..10; null: nobody could score it.")
        for name in CRITERIA
    ),
    Column(
        "judges",
        _structs(criterion=TEXT, judge=TEXT, judge_version=TEXT),
        "trust",
        "Who gave each score that is there.",
    ),
    Column("reward", pa.float64(), "trust", "0..1; null: nothing to compute it from."),
    Column("reward_version", TEXT, "trust", "Version of the reward's formula, weights, gate and panel."),
    Column("crisis_gate_failed", pa.bool_(), "trust", "The reply broke the crisis rule; the reward is then 0."),
    Column("scored_at", TIME, "trust", "When it was scored, by the reward service's clock."),
    Column(
        "timings",
        _structs(service=TEXT, received_at=TIME, produced_at=TIME, model_us=pa.int64()),
        "derived",
        "Each service's part, in order of receipt: record received, output handed over, and of that the microseconds "
        "spent waiting for models, the store or an LLM.",
    ),
    Column("pseudonym_key", TEXT, "identity", "Which key the pseudonyms were made with: 8 digits that do not tell it."),
    Column(
        "state",
        pa.list_(pa.float32()),
        "decision",
        "What the policy saw, as numbers, in the order of `state_version`; null: no model answered.",
    ),
    Column("state_version", TEXT, "decision", "Which list of features `state` is: see State below."),
    Column(
        "eligible",
        pa.list_(TEXT),
        "decision",
        "The strategies that the rules allowed to be chosen; null: nothing was to be chosen.",
    ),
    Column(
        "explored",
        pa.bool_(),
        "decision",
        "The choice is one that exploration added to the model's own; null: there was no choice.",
    ),
    Column(
        "exploration",
        TEXT,
        "decision",
        "What was added to the model's own distribution: `epsilon=0.1`, `temperature=1.5`, `none`.",
    ),
    Column(
        "policy_sha256",
        TEXT,
        "decision",
        "SHA-256, hexadecimal, of all that makes the policy: graph, taxonomy, exploration, rules.",
    ),
    Column(
        "token_ids",
        pa.list_(pa.int32()),
        "reply",
        "CONTENT. Ids of the tokens that the model wrote, in its own vocabulary; null: its server tells none.",
    ),
    Column(
        "token_log_probs",
        pa.list_(pa.float32()),
        "reply",
        "Natural logarithm of each token's probability, as its server tells it; null: it tells none.",
    ),
    Column(
        "reply_attempts",
        _structs(
            index=pa.int32(), faults=pa.list_(TEXT), score=pa.float64(), sent=pa.bool_(), completion_tokens=pa.int64()
        ),
        "reply",
        "The texts that were written for this reply, without the texts: what the guard found, the score it was chosen "
        "by, whether it was sent.",
    ),
    Column("subject", TEXT, "identity", "Pseudonym of the person; of the conversation where the platform names none."),
    Column(
        "dialogue_sealed",
        pa.binary(),
        "decision",
        "CONTENT. `dialogue`, sealed with the person's key, which is then null: see Sealed content below.",
    ),
    Column(
        "reply_sealed",
        pa.binary(),
        "reply",
        "CONTENT. `reply_text`, `token_ids` and `attempt_texts` in the same way.",
    ),
    Column(
        "attempt_texts",
        _structs(index=pa.int32(), text=TEXT),
        "reply",
        "CONTENT. What was written for this reply and not sent, by `index` of `reply_attempts`: other candidates, and "
        "what the guard refused, until it stopped it; null: nothing.",
    ),
    Column(
        "panel",
        _structs(judge=TEXT, judge_version=TEXT, criteria=pa.list_(TEXT)),
        "trust",
        "The set of judges behind the scores, in the order in which they are asked, those that gave none here too; "
        "null: not told.",
    ),
    Column(
        "absent_judges",
        _structs(judge=TEXT, reason=TEXT),
        "trust",
        "Judges of the panel that were asked and could not score this time, and why; null: none, or not told.",
    ),
)

FORMER: Final = MappingProxyType({"models": _structs(name=TEXT, version=TEXT)})
"""Types that version 1 had."""
PARTS: Final = {
    part: tuple(column.name for column in COLUMNS if column.part == part)
    for part in ("identity", "decision", "reply", "trust", "derived")
}
CONTENT: Final = ("dialogue", "reply_text", "token_ids", "attempt_texts")
"""The columns that hold what was said: token ids are words to whoever has the vocabulary."""
SEALED: Final = MappingProxyType(
    {"dialogue_sealed": ("dialogue",), "reply_sealed": ("reply_text", "token_ids", "attempt_texts")}
)
"""The columns that hold the same, sealed."""

FEEDBACK_COLUMNS: Final = (
    Column("schema_version", pa.int32(), "identity", "Version of this table: 2."),
    Column(
        "feedback_id",
        TEXT,
        "identity",
        "Pseudonym of the event's id, a UUID: the row's key. Equal ids are one row.",
    ),
    Column("tenant", TEXT, "identity", "Whose platform it was."),
    Column("conversation_id", TEXT, "identity", "Of the utterance that the feedback is about: its pseudonym."),
    Column("utterance_id", TEXT, "identity", "Of the same. Join on tenant, conversation_id and utterance_id."),
    Column("given_at", TIME, "identity", "When the feedback was given, by the platform's clock or the gateway's."),
    Column("rating", pa.float64(), "identity", "0..1; null: not given."),
    Column("intensity", pa.float64(), "identity", "The person's own report after the reply, 0..1; null: not given."),
    Column("source", TEXT, "identity", "Who says so: `user`, `clinician`, ...; null: not told."),
    Column("feedback_offset", pa.int64(), "identity", "Offset of the record on Kafka. Rows are in this order."),
)


def _schema(name: str, columns: tuple[Column, ...]) -> Any:
    fields = [pa.field(column.name, column.type, metadata={"meaning": column.meaning}) for column in columns]
    states = json.dumps({version: names_of(version) for version in VERSIONS})
    return pa.schema(fields, metadata={"multimood.table": f"{name}/v{VERSION}", "multimood.states": states})


SCHEMA: Final = _schema("experience", COLUMNS)
FEEDBACK_SCHEMA: Final = _schema("feedback", FEEDBACK_COLUMNS)
