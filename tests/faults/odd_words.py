"""Words that nobody means, and the options to which they are given."""

import argparse
from typing import Any

from command_line import TINY

from adapters.cli.commands import COMMANDS
from adapters.cli.options import make_parser

HUGE = str(10**20)
DIGITS = "9" * 5000  # more than Python converts
WHOLE = ["-1", HUGE, DIGITS, "nan", "inf", "1e3", "1.5", "0x10", "", " ", "ten"]
NUMBER = ["nan", "inf", "-inf", "1e308", "-1", "0", DIGITS, "1e999", "", " ", "1,5"]
ELSEWHERE = {"--seconds"}  # tests/classroom

# A command line of each command that works, or would with a longer wait.
LINES: dict[str, tuple[object, ...]] = {
    "train": ("--task", "rte", "--sample", "--base", TINY, "--max-length", 16, "--out", "out"),
    "search": ("--task", "rte", "--sample", "--base", TINY, "--max-length", 16, "--out", "out"),
    "evaluate": ("TASK", "--base", TINY, "--sample"),
    "predict": ("TASK", "--base", TINY, "--pair", "a", "b"),
    "embed": ("a text", "--base", TINY),
    "info": (TINY,),
    "reproduce": ("table1", "--sample", "--base", TINY, "--out", "out"),
    "exercises": ("grade", "."),
    "fetch": ("minilm",),
    "demo": (),
}


def all_options_of(name: str) -> list[Any]:
    """The options of a command, as argparse has them."""
    parser = make_parser(COMMANDS)
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return [a for a in commands.choices[name]._actions if a.option_strings]


def options_of(name: str) -> list[Any]:
    """Those that take a value."""
    found = [a for a in all_options_of(name) if a.nargs != 0]
    return [a for a in found if a.option_strings[0] not in ELSEWHERE]
