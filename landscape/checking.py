"""What users write, held to its schema: the first complaint as one line that names place, key, expectation and value."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from landscape.errors import InputError, unknown_choice

T = TypeVar("T")


# The headings of options that are one measurement's own, and of how it or a training is run.
OWN, RUNNING = "This measurement", "Running"


@dataclass(frozen=True)
class Option:
    """What people are told of a setting, beside its type: ``draws: Annotated[int, Option("How many.")] = 10``.

    Options of commands, keys of studies and their documentation are made of it.

    Attributes:
        help: one line, without the default; a function where it is known only when it is asked for.
        group: the heading that it stands under.
        default: in words, where the default is no value.
        flag: of a choice between two, both of its flags.
        study: whether it is a key of studies alone.
        no_effect: why it decides no value of a result; empty for what does, and so identifies it.
        later: whether it came later than files that are about: one that is not asked for is then left out of what identifies a
            result, so that theirs stays what it was.
    """

    help: str | Callable[[], str]
    group: str = ""
    default: str = ""
    flag: str = ""
    study: bool = False
    no_effect: str = ""
    later: bool = False

    def words(self) -> str:
        """The help."""
        return self.help if isinstance(self.help, str) else self.help()


def option_of(field: FieldInfo) -> Option | None:
    """What is said of a field; None for one that is no setting of its own."""
    return next((one for one in field.metadata if isinstance(one, Option)), None)


class Settings(BaseModel):
    """A frozen table of settings without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


def known_keys(model: type[BaseModel], table: Mapping[str, Any], where: str) -> None:
    """Raise InputError for the first key that ``model`` does not have."""
    for key in table:
        if key not in model.model_fields:
            raise unknown_choice(f"{where}key", key, model.model_fields)


def checked(build: Callable[[], T], where: str, fields: Mapping[str, FieldInfo] | None = None) -> T:
    """Run a pydantic validation and say its first complaint as one line: place, key, what was expected, what arrived.

    With the ``fields`` of what is built it also says what the key is.
    """
    try:
        return build()
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            message = str(cause)
            raise InputError(
                f"{where}{message}" if not key or message.startswith(key) else f"{where}{key}: {message}"
            ) from None
        message = f"{where}{key}: {first['msg'].lower()}, got {first['input']!r}."
        field = (fields or {}).get(str(first["loc"][0])) if first["loc"] else None
        said = option_of(field) if field is not None else None
        raise InputError(f"{message} {said.words()}" if said else message) from None


def is_number(value: object) -> bool:
    """Whether it is a real number, of Python or of NumPy, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_numbers(**values: object) -> None:
    """Refuse what is neither a number nor None.

    Raises:
        InputError: naming the argument.
    """
    for argument, value in values.items():
        if value is not None and not is_number(value):
            raise InputError(f"{argument}: expected a number, got {type(value).__name__} {value!r:.40}.")


def check_counts(**counts: object) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        InputError: naming the argument.
    """
    for argument, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"{argument}: expected a whole number of at least 1, got {count!r}.")
