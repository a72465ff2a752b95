"""The contract's enums as stable lower-case labels."""

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper


def label(enum: EnumTypeWrapper, value: int, prefix: str) -> str:
    """The label of an enum's value; one that this version does not know by its number."""
    try:
        name: str = enum.Name(value)
    except ValueError:
        return f"unknown_{value}"
    return name.removeprefix(prefix).lower()
