"""What a compiled program does, read from the text that XLA gives of it."""

import re
from typing import NamedTuple

# These are done when the program is compiled, or are names of parts of memory.
_FREE = {'parameter', 'constant', 'get-tuple-element', 'tuple', 'bitcast', 'after-all', 'iota'}
_COLLECTIVE = re.compile(
    r' (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|collective-broadcast)'
    r'(-start)?\('
)
_INSTRUCTION = re.compile(r'^ +(?:ROOT )?%?[\w.-]+ = .*?[\])}] ([a-z][\w-]*)\((.*)$')
_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.-]+) \(.*\{$')


class Loop(NamedTuple):
    """What one round of a loop is.

    Attributes:
      operations: that the device starts one after the other: kernels, products, copies.
      copies: of them, those that only copy.
      branches: places where the way depends on a value.
      uncounted: loops, itself among them, whose number of rounds XLA does not know.
    """

    operations: int
    copies: int
    branches: int
    uncounted: int

    @property
    def questions(self) -> int:
        """How often the host of a GPU is asked what to do next."""
        return self.branches + self.uncounted


def collectives(text: str) -> int:
    """Returns the number of operations in which devices wait for each other."""
    return len(_COLLECTIVE.findall(text))


def loop(text: str, scope: str) -> Loop:
    """Returns what the innermost loop does that has most of a `jax.named_scope`.

    Args:
      text: of the compiled program, `compiled.as_text()`.
      scope: its name.
    """
    computations = _computations(text)
    whiles = [
        (name, line)
        for lines in computations.values()
        for opcode, line in lines
        if opcode == 'while'
        for name in re.findall(r'body=%?([\w.-]+)', line)
    ]

    def num_inside(found: tuple[str, str]) -> int:
        return sum(f'/{scope}/' in line for _, line in computations[found[0]])

    body, line = max(whiles, key=num_inside)
    operations, copies, branches, uncounted = _totals(computations, body)
    return Loop(operations, copies, branches, uncounted + _is_uncounted(line))


def _computations(text: str) -> dict[str, list[tuple[str, str]]]:
    """Returns the opcodes and lines of each computation, by its name."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in text.splitlines():
        if head := _COMPUTATION.match(line):
            current = found.setdefault(head[1], [])
        elif instruction := _INSTRUCTION.match(line):
            current.append((instruction[1], instruction[2]))
    return found


def _totals(computations: dict[str, list[tuple[str, str]]], name: str) -> list[int]:
    """Returns operations, copies, branches and uncounted loops of a computation."""
    totals = [0, 0, 0, 0]
    for opcode, line in computations[name]:
        rounds, inner = 1, []
        if opcode == 'while':
            totals[3] += _is_uncounted(line)
            rounds, inner = _rounds(line) or 1, re.findall(r'body=%?([\w.-]+)', line)
        elif opcode == 'conditional':  # one way of it
            totals[2] += 1
            ways = r'(?:branch_computations=\{|true_computation=)%?([\w.-]+)'
            inner = re.findall(ways, line)
        elif opcode == 'call':
            inner = re.findall(r'to_apply=%?([\w.-]+)', line)
        elif opcode not in _FREE and not opcode.endswith('-done'):
            totals[0] += 1
            totals[1] += opcode.startswith('copy')
        for other in inner:
            totals = [
                a + rounds * b for a, b in zip(totals, _totals(computations, other), strict=True)
            ]
    return totals


def _rounds(line: str) -> int | None:
    found = re.search(r'known_trip_count"?:\{"?n"?:"(\d+)"', line)
    return int(found[1]) if found else None


def _is_uncounted(line: str) -> bool:
    return _rounds(line) is None
