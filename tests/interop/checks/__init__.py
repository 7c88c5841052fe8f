"""The checks, one file per subject. `ALL` is every one of them, in the order in which they run."""
import itertools
from dataclasses import dataclass
from typing import Callable

from harness.server import Account, Server


@dataclass
class Check:
    name: str
    run: Callable
    seconds: float

    @property
    def about(self):
        return " ".join(self.run.__doc__.split())


ALL: list[Check] = []


def check(function=None, *, seconds=60):
    """A check is a function with a sentence about it; it gets a `Stage` and raises what is wrong. What it
    returns, if anything, is printed behind its name."""
    def add(function):
        ALL.append(Check(function.__name__.replace("_", "-"), function, seconds))
        return function
    return add(function) if function else add


class Stage:
    """What a check plays on: the server that runs for all, and accounts of its own."""
    _numbers = itertools.count(1)

    def __init__(self, server: Server):
        self.server = server
        self._number = next(self._numbers)

    def no_account_yet(self, name) -> Account:
        return self.server.no_account_yet(f"{name}-{self._number}")

    async def account(self, name) -> Account:
        return await self.server.account(f"{name}-{self._number}")

    async def accounts(self, *names):
        return [await self.account(name) for name in names]
