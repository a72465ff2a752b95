"""Files in a log's folder that are no part of it, or not whole: each command names the file and says no word of it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_experience import row
from typer.testing import CliRunner

from multimood.cli import app
from multimood.experience import SCHEMA
from multimood.experience.table import encode

pytestmark = pytest.mark.unit

SECRET = "zq what the person said"


def cast(name: str, to: pa.DataType) -> Callable[[Path], None]:
    """A column rewritten in another type, as another tool would."""

    def edit(file: Path) -> None:
        table = pq.read_table(file)
        at = table.schema.get_field_index(name)
        pq.write_table(table.set_column(at, name, table.column(at).cast(to)), file)

    return edit


def words_for_numbers(file: Path) -> None:
    table = pq.read_table(file)
    at = table.schema.get_field_index("reward")
    pq.write_table(table.set_column(at, "reward", pa.array([SECRET] * len(table))), file)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (lambda file: file.write_bytes(b""), "0 bytes are no Parquet file") ,
    "cut off": (lambda file: file.write_bytes(file.read_bytes()[:-100]), "are no Parquet file"),
    "foreign": (lambda file: pq.write_table(pa.table({"text": [SECRET]}), file), "no table of the experience log"),
    "words for numbers": (words_for_numbers, "its column reward is string, and should be double"),
}  # fmt: skip
COMMANDS = {
    "ls": ("experience", "ls"),
    "show": ("experience", "show", "--log"),
    "ope": ("ope", "--policy", "uniform"),
    "export": ("experience", "export", "--to", "hf", "--out", "OUT"),
    "panel": ("trust", "panel", "--data"),
}


def run(words: tuple[str, ...], log: Path, out: Path) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, [str(out) if word == "OUT" else word for word in words] + [str(log)])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, " ".join(outcome.output.split())


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", COMMANDS)
def test_the_file_is_named(tmp_path: Path, command: str, damage: str) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.parquet").write_bytes(encode([row(name)], SCHEMA))
    change, why = DAMAGE[damage]
    change(tmp_path / "two.parquet")
    code, said = run(COMMANDS[command], tmp_path, tmp_path / "out")
    assert code == 1, said
    assert f"error: {tmp_path}/two.parquet" in said
    assert why in said
    assert "zq" not in said


@pytest.mark.parametrize(
    ("column", "to"),
    [("reward", pa.float32()), ("step", pa.int64()), ("reply_text", pa.large_string()),
     ("chosen", pa.dictionary(pa.int32(), pa.string())), ("replied_at", pa.timestamp("ns", "UTC"))],
)  # fmt: skip
def test_what_another_tool_wrote_of_it_is_still_the_log(tmp_path: Path, column: str, to: pa.DataType) -> None:
    (tmp_path / "one.parquet").write_bytes(encode([row("one")], SCHEMA))
    cast(column, to)(tmp_path / "one.parquet")
    code, said = run(COMMANDS["ls"], tmp_path, tmp_path / "out")
    assert code == 0, said
