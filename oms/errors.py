"""Every exception of the package, one tree.

A refused order is not an exception: it is a response that carries a RejectReason.
Exceptions are for a caller who cannot go on.
"""

VALUE_LENGTH_MAX = 80


class OMSError(Exception):
    """Catch this to catch every error of the package."""


class ValidationError(OMSError, ValueError):
    """A field is out of range. The text names field, expectation and value."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}, was {_shown(value)}")
        self.field = field
        self.expected = expected
        self.value = value


def _shown(value: object) -> str:
    """The value, cut short: the text goes into logs and into the journal."""
    try:
        text = repr(value)
        return text if len(text) <= VALUE_LENGTH_MAX else f"{text[: VALUE_LENGTH_MAX - 3]}..."
    except Exception:
        # Python does not write out an int of thousands of digits, and repr() is code of the
        # value's own class: what it raises must not replace this error.
        return f"a value of type {type(value).__name__}"


class ConfigError(OMSError, ValueError):
    """The configuration has mistakes: all of them, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class DataInUseError(OMSError):
    """Another process holds the lock of this data directory."""


class StoreError(OMSError):
    """The store cannot do what was asked."""


class StoreBusyError(StoreError):
    """Another process holds the database; nothing was written."""


class StoreFullError(StoreError):
    """The disk is full; the transaction was rolled back and nothing was written."""


class OutcomeUnknownError(StoreError):
    """A commit failed half way: whether it is on disk only a restart can tell."""


class JournalError(StoreError):
    """The journal does not add up: a checksum, a gap, a row nobody can read."""


class VenueError(OMSError):
    """The venue refused, or cannot be reached."""


class StoppedError(OMSError):
    """The order manager is not running."""


class GatewayError(OMSError):
    """A daemon's control socket cannot be opened, or does not answer."""


class TransportError(OMSError):
    """Redis cannot be reached, is too slow, or refuses a command."""


class FencedError(TransportError):
    """Another engine serves the group since: this one may neither read nor tell any more."""


class ServerError(OMSError):
    """A client's server refused a request as such, or gives no answer; nothing was done.

    status: of HTTP; 0: there was no answer. code, field: of its error, "" if it has none.
    """

    def __init__(self, text: str, *, status: int = 0, code: str = "", field: str = "") -> None:
        super().__init__(text)
        self.status, self.code, self.field = status, code, field


class UnansweredError(ServerError):
    """A client's request was sent, and nothing durable tells what became of it: submit the same
    request again, or ask for its order."""


class GapError(OMSError):
    """What a stream missed cannot be told any more: it lies too far back, is too much, or the
    server is another one. The stream goes on behind it: iterate again.

    channel, key: of what: "reports" and the account; "trades", "depth" and the symbol. after, seq:
    it is what the turns behind `after` and up to `seq` did. why: TOO_FAR_BACK, TOO_MUCH,
    UNKNOWN_SEQUENCE. snapshot: how things stand at `seq`: an AccountSnapshot, the latest
    TradePrints, a DepthSnapshot. group: of markets, whose sequences these are; "" where the server
    has one.
    """

    def __init__(
        self, channel: str, key: str, after: int, seq: int, why: str, snapshot: object,
        group: str = "",
    ) -> None:  # fmt: skip
        of = f"{key}, group {group}" if group else key
        super().__init__(f"{channel} of {of}: a gap behind seq={after}, up to seq={seq}: {why}")
        self.channel, self.key, self.after, self.seq = channel, key, after, seq
        self.why, self.snapshot, self.group = why, snapshot, group


class OverrunError(OMSError):
    """A reader was too slow: its buffer was full, and it has missed what came after."""


class DeadlockError(OMSError, RuntimeError):
    """A listener would wait for what only its own thread can bring about."""
