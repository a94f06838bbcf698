"""What is looked at behind a layer, as ONNX nodes: an exit, how sure it is, and the tests of a rule, in float64 as in Python."""

import math
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence, Tuple

import numpy

from ...threads import cached_property
from ...trunk.looks import Form, Test

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

FLOAT, INT32, BOOL, DOUBLE = 1, 6, 9, 11
"""Kinds of numbers, as ONNX calls them."""

PREFIX = "look/"
"""How all names begin that are used here."""

EXIT = PREFIX + "exit"
"""The exit that is looked through, () int64."""

LAST = PREFIX + "last/"
"""How the names begin of what the exit before has left."""

FOUND, FIRED, SCALED = (LAST + name for name in ("found", "fired", "scaled"))
"""Its logits, what tests said, and logits divided by their temperature."""


class LookNodes:
    """The nodes, which read the inputs named as the arrays of `Looks`, and what the exit before has left.

    found (str): The logits, (1, K').
    stop (str): Whether any test says yes, () bool.
    carried (Dict[str, str]): What this exit leaves, by the names under which the next one reads it.
    """

    def __init__(self, form: Form, states: str):
        """
        form (Form): What is asked.
        states (str): What heads see, (W, T, H) float32.
        """
        self.form = form
        self.nodes: List["NodeProto"] = []
        self.constants: List["TensorProto"] = []
        self.carried: Dict[str, str] = {}
        self._made: Dict[Tuple[Any, ...], str] = {}
        pooled = self("MatMul", PREFIX + "pool", self("Flatten", states, axis=2))
        self.found = self("Gemm", pooled, self._now("weights"), self._now("biases"))
        answers = [self._test(test) for test in form.tests]
        fired = answers[0] if len(answers) == 1 else self("Concat", *answers, axis=0)
        self.stop = self("Squeeze", self._any(answers))
        self.carried.update({FOUND: self.found, FIRED: fired})

    def __call__(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """Add a node, or find one that does the same.

        operation (str): What it does.
        inputs (str): With what.
        attributes (Any): And how.
        RETURNS (str): The name of what comes out.
        """
        key = (operation, *inputs, str(attributes))
        if key not in self._made:
            self._made[key] = self._add(operation, inputs, 1, attributes)[0]
        return self._made[key]

    def _add(self, operation: str, inputs: Sequence[str], outputs: int, attributes: Dict[str, Any]) -> List[str]:
        from onnx import helper

        names = [f"{PREFIX}{len(self.nodes)}/{output}" for output in range(outputs)]
        self.nodes.append(helper.make_node(operation, inputs, names, **attributes))
        return names

    def _constant(self, value: Any, kind: str = "float64") -> str:
        """RETURNS (str): The name of a number or some numbers."""
        from onnx import numpy_helper

        key = ("", kind, str(value))
        if key not in self._made:
            self._made[key] = f"{PREFIX}constant/{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(numpy.array(value, dtype=kind), self._made[key]))
        return self._made[key]

    def _now(self, table: str) -> str:
        """RETURNS (str): What a table has for this exit."""
        return self("Gather", PREFIX + table, EXIT, axis=0)

    def _double(self, value: str) -> str:
        return self("Cast", value, to=DOUBLE)

    def _sum(self, value: str) -> str:
        return self("ReduceSum", value, self._constant([-1], "int64"), keepdims=0)

    @cached_property
    def _numbers(self) -> List[str]:
        """The temperature and the numbers of this exit, (1,) each."""
        rows = 2 + max(map(_last_row, self.form.tests))
        column = self("Gather", PREFIX + "numbers", EXIT, axis=1)
        return self._add("Split", [column, self._constant([1] * rows, "int64")], rows, {"axis": 0})

    def _number(self, row: int) -> str:
        """RETURNS (str): The number of a test, (1,)."""
        return self._numbers[1 + row]

    # --- the evidence ---

    def _labels(self, found: str) -> str:
        """The logits of labels, (1, K)."""
        if not self.form.learned:
            return found
        return self("Gather", found, self._constant(range(self.form.labels), "int64"), axis=1)

    def _logits(self, found: str) -> str:
        """The same in float64."""
        return self._double(self._labels(found))

    @property
    def _pairs(self) -> bool:
        """Whether each label is yes or no."""
        return not self.form.exclusive or self.form.labels == 1

    def _level(self, row: int) -> str:
        """The thresholds of labels, or their logits, (K,)."""
        return self("Gather", PREFIX + "thresholds", self._constant(row, "int64"), axis=0)

    @cached_property
    def _scaled(self) -> str:
        logits, temperature = self._logits(self.found), self._numbers[0]
        if self.form.exclusive:
            return self("Div", logits, temperature)
        return self("Add", self("Div", self("Sub", logits, self._level(1)), temperature), self._level(1))

    def _join(self, values: str) -> str:
        """Join the uncertainties of labels, (1,)."""
        return self("ReduceMax" if self.form.reduce == "max" else "ReduceMean", values, axes=[-1], keepdims=0)

    def _entropy(self) -> str:
        if self._pairs:
            yes, no = self("Sigmoid", self._scaled), self("Sigmoid", self("Neg", self._scaled))
            nats = self("Neg", self("Add", *(self("Mul", part, self._log(part)) for part in (yes, no))))
            return self._join(self("Div", nats, self._constant(math.log(2))))
        shares = self._log_shares(self._scaled)
        nats = self._sum(self("Mul", self("Exp", shares), shares))
        return self("Div", nats, self._constant(-math.log(self.form.labels)))

    def _log(self, value: str) -> str:
        """The logarithm, which is not infinite for 0."""
        return self("Log", self("Max", value, self._constant(5e-324 * 2**52)))

    def _confidence(self) -> str:
        if self._pairs:
            return self("Sub", self._constant(1.0), self._join(self._doubt_of(self._scaled)))
        return self("ReduceMax", self("Softmax", self._scaled), axes=[-1], keepdims=0)

    def _margin(self) -> str:
        if self._pairs:
            return self("Sub", self._constant(1.0), self._join(self("Mul", self._constant(2.0), self._doubt_of(self._scaled))))
        best = self._add("TopK", [self("Softmax", self._scaled), self._constant([2], "int64")], 2, {"axis": -1})[0]
        first, second = (self("Gather", best, self._constant(place, "int64"), axis=1) for place in (0, 1))
        return self("Sub", first, second)

    def _energy(self) -> str:
        if self._pairs:
            around = self._scaled if self.form.exclusive else self("Sub", self._scaled, self._level(1))
            return self._join(self._doubt_of(around))
        return self("Sigmoid", self("Neg", self("ReduceLogSumExp", self._scaled, axes=[-1], keepdims=0)))

    def _doubt_of(self, logits: str) -> str:
        """The smaller probability of yes and no."""
        return self("Sigmoid", self("Neg", self("Abs", logits)))

    def _doubt(self) -> str:
        last = self("Gather", self.found, self._constant(self.form.labels, "int64"), axis=1)
        return self("Cast", self("Sigmoid", self._double(last)), to=FLOAT)  # in float32, as in Python

    def _decision(self, found: str) -> str:
        """What is answered: (1,) int64, or (1, K) bool."""
        if self.form.exclusive:
            return self("ArgMax", self._labels(found), axis=-1, keepdims=0)
        return self("GreaterOrEqual", self("Sigmoid", self._logits(found)), self._level(0))

    def _divergence(self, kind: str) -> str:
        self.carried[SCALED] = self._scaled
        log_p, log_q = self._log_shares(SCALED), self._log_shares(self._scaled)
        gap = self("Sub", log_p, log_q)
        p, q = self("Exp", log_p), self("Exp", log_q)
        if kind == "JSKD":
            log_2 = self._constant(math.log(2))
            parts = [(p, self("Neg", gap)), (q, gap)]
            terms = self("Add", *(self("Mul", share, self("Sub", log_2, self._softplus(own))) for share, own in parts))
            terms = self("Div", terms, self._constant(2 * math.log(2)))
        else:
            share = {"KD": p, "ReKD": self("Neg", q), "SymKD": self("Sub", p, q)}[kind]
            terms = self("Mul", share, gap)
        total = self._sum(terms)
        return self._join(total) if self._pairs else total

    def _log_shares(self, scaled: str) -> str:
        """The logarithms of the probabilities that are compared, (1, K), or of no and yes for each label, (1, K, 2)."""
        if self._pairs:
            column = self("Unsqueeze", scaled, self._constant([-1], "int64"))
            return self("Neg", self._softplus(self("Mul", column, self._constant([1.0, -1.0]))))
        return self("LogSoftmax", scaled)

    def _softplus(self, value: str) -> str:
        """log(1 + exp(x))."""
        rest = self("Log", self("Add", self._constant(1.0), self("Exp", self("Neg", self("Abs", value)))))
        return self("Add", self("Max", value, self._constant(0.0)), rest)

    # --- the tests ---

    def _test(self, test: Test) -> str:
        """What a test says, (1,) bool."""
        kind, *rest = test
        if kind in ("any", "all"):
            return self._any([self._test(part) for part in rest], "Or" if kind == "any" else "And")
        ways: Dict[str, Callable[..., str]] = {
            "below": self._below,
            "above": self._above,
            "on": self._on,
            "repeats": self._repeats,
            "run": self._run,
            "votes": self._votes,
        }
        return ways[kind](*rest)

    def _any(self, answers: Sequence[str], operation: str = "Or") -> str:
        whole = answers[0]
        for answer in answers[1:]:
            whole = self(operation, whole, answer)
        return whole

    def _below(self, figure: str, row: int) -> str:
        number = self._number(row)
        if figure == "doubt":
            return self("Less", self._doubt(), self("Cast", number, to=FLOAT))
        value = {"entropy": self._entropy, "energy": self._energy}.get(figure, lambda: self._divergence(figure))
        return self("Less", value(), number)

    def _above(self, figure: str, row: int) -> str:
        return self("Greater", self._confidence() if figure == "confidence" else self._margin(), self._number(row))

    def _on(self, row: int) -> str:
        return self("Greater", self._number(row), self._constant(0.0))

    def _repeats(self, row: int) -> str:
        same = self("Equal", self._decision(self.found), self._decision(FOUND))
        if not self.form.exclusive:
            same = self("Cast", self("ReduceMin", self("Cast", same, to=INT32), axes=[-1], keepdims=0), to=BOOL)
        return self("And", same, self._on(row))

    def _run(self, test: Test, row: int, place: int) -> str:
        before = f"{LAST}runs/{place}"
        longer = self("Add", before, self._constant(1.0))
        self.carried[before] = run = self("Mul", longer, self._double(self._test(test)))
        return self("GreaterOrEqual", run, self._number(row))

    def _votes(self, row: int, place: int) -> str:
        before = f"{LAST}votes/{place}"
        counts, voters, divisor, least = (self._number(row + more) for more in range(4))
        decision = self._decision(self.found)
        if self.form.exclusive:
            labels = self._constant(range(self.form.labels), "int64")
            decision = self("Equal", labels, self("Unsqueeze", decision, self._constant([-1], "int64")))
        self.carried[before] = votes = self("Add", before, self("Mul", self._double(decision), counts))
        if self.form.exclusive:
            leading = self("ReduceMax", votes, axes=[-1], keepdims=0)
        else:
            leading = self("ReduceMin", self("Max", votes, self("Sub", voters, votes)), axes=[-1], keepdims=0)
        return self("GreaterOrEqual", self("Div", leading, divisor), least)


def _last_row(test: Test) -> int:
    """The last row of numbers that a test reads."""
    kind, *rest = test
    if kind in ("any", "all"):
        return max(map(_last_row, rest))
    if kind == "run":
        return max(_last_row(rest[0]), rest[1])
    return rest[-1] if kind != "votes" else rest[0] + 3
