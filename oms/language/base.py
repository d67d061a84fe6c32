"""What every command of the language that writes has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar

from oms.controls import (
    Request,
)
from oms.errors import ValidationError

Amount = str | int | Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseCommand(ABC):
    """One who asks, and the id that makes a repeat of the command one and the same.

    client_order_id: unique per account for ever, over orders and all other commands; the same
        id with the same content gets the same outcome and no second effect.
    requests: what goes into the journal for it.

    Raises ValidationError, naming the field, on a value out of range.
    """

    NUMBERS: ClassVar[tuple[str, ...]] = ()

    account: str
    client_order_id: str
    requests: tuple[Request, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in self.NUMBERS:
            if type(getattr(self, name)) is float:
                raise ValidationError(name, getattr(self, name), "text, int or Decimal")
        object.__setattr__(self, "requests", self._made())  # frozen for everybody else

    @abstractmethod
    def _made(self) -> tuple[Request, ...]:
        """The requests that this command comes to."""
