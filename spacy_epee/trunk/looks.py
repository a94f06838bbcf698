"""What is looked at between layers, as plain arrays: for runners that climb until a rule is met without coming back to Python."""

from typing import Any, NamedTuple, Optional, Tuple

import numpy

from .base import Runner, State

Test = Tuple[Any, ...]
"""What is answered with yes or no at each exit, by the numbers of the exit in rows of `Looks.numbers`, of which the first is not
counted:

- `("below", figure, row)`: the figure is below the number. Figures are "entropy", "energy", "doubt", and the divergences from the
  exit before, "KD", "ReKD", "SymKD" and "JSKD".
- `("above", figure, row)`: the figure, "confidence" or "margin", is above the number.
- `("on", row)`: the number is above 0.
- `("repeats", row)`: the decision is that of the exit before, and the number is above 0.
- `("run", test, row, place)`: the test said yes at as many exits in a row as the number. The run so far is `Looks.runs[place]`.
- `("votes", row, place)`: with those of this exit times the number, the votes for the leading label over the third number are at
  least the fourth. The second is how many exits have voted. The votes so far are `Looks.votes[place]`.
- `("any", *tests)` and `("all", *tests)`.
"""


class Form(NamedTuple):
    """What a runner makes a program of: all that is not a number.

    tests (Tuple[Test, ...]): A test for each reason to leave. The first that says yes is the reason.
    labels (int): The number of logits, K.
    exclusive (bool): One label of K, or any number of them.
    reduce (str): How the uncertainties of labels that are not exclusive are joined: "mean" or "max".
    learned (bool): Whether a logit of being wrong comes behind those of the labels.
    """

    tests: Tuple[Test, ...]
    labels: int
    exclusive: bool
    reduce: str
    learned: bool


class Looks(NamedTuple):
    """How one unit is looked at behind layers, through exits of which each is a linear layer over a sum of states.

    form (Form): What is done with the numbers.
    exits (ndarray): The exit that is looked through behind each layer, -1 for none, (depth,) int64.
    pool (ndarray): How much each state counts in the sum, (1, W * T) float32.
    weights (ndarray): From the sum to logits, K' with that of being wrong, (E, H, K') float32.
    biases (ndarray): What is added to these, (E, K') float32.
    numbers (ndarray): What logits are divided by to be probabilities, and then what tests compare with, (1 + rows, E) float64.
    thresholds (ndarray): The probability from which a label counts as given, and the logit around which it is scaled,
        (2, K) float64.
    runs (ndarray): The runs so far, (runs,) float64.
    votes (ndarray): The votes so far, (votes, K) float64.
    found (ndarray): The logits of the exit before the first layer, if it was looked at, (1, K') float32.
    scaled (ndarray): The same divided by its temperature, (1, K) float64.
    """

    form: Form
    exits: numpy.ndarray
    pool: numpy.ndarray
    weights: numpy.ndarray
    biases: numpy.ndarray
    numbers: numpy.ndarray
    thresholds: numpy.ndarray
    runs: numpy.ndarray
    votes: numpy.ndarray
    found: numpy.ndarray
    scaled: numpy.ndarray


class Reached(NamedTuple):
    """Where a unit has left.

    layer (int): The layer.
    found (ndarray): The logits of its exit, (1, K') float32.
    fired (ndarray): What each test said there, (reasons,) bool.
    """

    layer: int
    found: numpy.ndarray
    fired: numpy.ndarray


def look_at_once(stepper: Runner) -> None:
    """Have a trunk look from the first text on, where it would wait until that is worth what it takes to make ready.

    stepper (Runner): The trunk.
    """
    if can_look(stepper):
        stepper.waits = 0  # type: ignore[attr-defined]


def can_look(stepper: Runner) -> bool:
    """RETURNS (bool): Whether a trunk has a `climb_until` of its own."""
    return hasattr(stepper, "climb_until")


def climb_until(stepper: Runner, state: State, looks: Looks) -> Optional[Reached]:
    """Climb until a test says yes, or to the last layer, in one call.

    stepper (Runner): The trunk. It can do it if it has a method of this name.
    state (State): One unit below the first layer. It stays as it is.
    looks (Looks): How it is looked at.
    RETURNS (Optional[Reached]): Where it has left; None if this trunk cannot do it.
    """
    return stepper.climb_until(state, looks) if can_look(stepper) else None  # type: ignore[attr-defined]
