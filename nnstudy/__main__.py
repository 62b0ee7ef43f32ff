"""`python -m nnstudy COMMAND`, which is `nnstudy COMMAND`."""

from nnstudy import commands

commands.script()
