"""What each command says on stderr before it does anything: where its data is, and its settings."""

import re

PLACE = re.compile(r"order_management: data in (?P<data>/.*); settings of (?P<settings>/.*)\n")


def after_place(stderr: str) -> str:
    """What a command told besides that. A mistake in arguments or settings is told before it."""
    return PLACE.sub("", stderr, count=1)
