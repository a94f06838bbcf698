"""From the logits of all exits to one loss."""

from dataclasses import dataclass
from typing import Literal, Optional, Tuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional as F

from ..settings import check_number

SMALLEST = 1e-6
"""What probabilities of 0 count as, those of teachers: their logits have no bounds otherwise."""


@dataclass(frozen=True)
class JointLoss:
    """The losses of all exits in one sum, as in PABEE and EPEE.

    weighting (str): How exit i (from 1) counts: "depth", i / sum(i) (Zhou et al. 2020, section 3.3); "half", the last exit
        as much as all the others, which count by depth; "equal"; or "last", the last exit alone, which is a plain classifier.
    self_distillation (float): The share g of (1 - g) * CE + g * T^2 * KL(last exit || exit) in the loss of every exit but
        the last (RomeBERT, Geng et al. 2021). 0 is the labels alone.
    temperature (float): T of that.
    teacher_share (float): The share g of (1 - g) * CE + g * T^2 * KL(teachers || exit) in the loss of every exit, for what
        has labels and soft labels of teachers (Hinton et al. 2015). What has only one of both is learned from that alone. 0
        leaves teachers out.
    teacher_temperature (float): T of that.
    """

    weighting: Literal["depth", "half", "equal", "last"] = "depth"
    self_distillation: float = 0.0
    temperature: float = 3.0
    teacher_share: float = 0.5
    teacher_temperature: float = 2.0

    def __post_init__(self) -> None:
        if self.weighting not in ("depth", "half", "equal", "last"):
            raise ValueError(f"The setting `loss.weighting` is '{self.weighting}'; give 'depth', 'half', 'equal' or 'last'.")
        check_number("loss.self_distillation", self.self_distillation, 0, 1, below=True)
        check_number("loss.temperature", self.temperature, 0, above=True)
        check_number("loss.teacher_share", self.teacher_share, 0, 1)
        check_number("loss.teacher_temperature", self.teacher_temperature, 0, above=True)

    def __call__(
        self,
        logits: Tensor,
        targets: Tensor,
        label_mask: Tensor,
        *,
        exclusive: bool,
        group: Optional[int] = None,
        label_weights: Optional[Tensor] = None,
        doubt: Optional[Tensor] = None,
        threshold: float = 0.5,
        weighting: Optional[str] = None,
        soft: Optional[Tensor] = None,
        soft_mask: Optional[Tensor] = None,
    ) -> Tensor:
        """Compute the loss.

        logits (Tensor): The logits of all exits, (E, U, K).
        targets (Tensor): 1 for the labels that are true, (U, K).
        label_mask (Tensor): 0 where the annotation is missing, (U, K).
        exclusive (bool): One label of K, or any number.
        group (Optional[int]): One label of each so many in a row is true. None if that is not so.
        label_weights (Optional[Tensor]): How much each label counts, (K,). Soft labels have no weights: those that their
            teachers were trained with are in them.
        doubt (Optional[Tensor]): The logits of being wrong, (E, U); their loss is the squared error of BERxiT.
        threshold (float): From which probability a label counts as given, for `doubt`.
        weighting (Optional[str]): In place of the setting, for training in stages.
        soft (Optional[Tensor]): The probabilities that teachers give the labels, (U, K).
        soft_mask (Optional[Tensor]): 0 where they give none, (U, K).
        RETURNS (Tensor): The loss, averaged over the units that have an annotation or soft labels.
        """
        if label_weights is None:
            label_weights = torch.ones(logits.shape[-1], device=logits.device)
        terms, known = _supervised(logits, targets, label_mask, exclusive, group, label_weights), label_mask
        if soft is not None and soft_mask is not None and self.teacher_share:
            t = self.teacher_temperature
            taught = t * t * _divergence(logits / t, _logits_of(soft, exclusive) / t, exclusive, group)
            shares = soft_mask * (self.teacher_share * label_mask + (1 - label_mask))
            terms, known = (1 - shares) * terms + shares * taught, torch.maximum(label_mask, soft_mask)
        losses = _joined(terms, known, exclusive, group)
        annotated = known.any(dim=1)
        units = annotated.sum().clamp(min=1)
        if self.self_distillation and (weighting or self.weighting) != "last":
            g, t = self.self_distillation, self.temperature
            taught = t * t * _distilled(logits / t, known, exclusive, group)
            shares = torch.full_like(losses, g)
            shares[-1] = 0
            losses = (1 - shares) * losses + shares * taught
        per_exit = (losses * annotated).sum(dim=1) / units
        loss = (per_exit * exit_weights(len(logits), weighting or self.weighting).to(logits.device)).sum()
        if doubt is not None and doubt.numel():
            with torch.no_grad():
                wrong = _wrong(logits, targets, label_mask, exclusive, group, threshold)
            errors = (torch.sigmoid(doubt) - wrong).square()
            loss = loss + (errors * label_mask.any(dim=1)).sum() / (units * len(logits))
        return loss

    def gradient(self, logits: Tensor, doubt: Tensor, **given) -> Tuple[float, Tensor, Tensor]:
        """Compute the loss and its gradient.

        logits (Tensor): The logits of all exits, (E, U, K).
        doubt (Tensor): The logits of being wrong, (E, U) or (E, 0).
        given: The other arguments of the loss.
        RETURNS (Tuple[float, Tensor, Tensor]): The loss, its gradient by the logits, and by `doubt`.
        """
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            doubt = doubt.detach().requires_grad_()
            loss = self(logits, doubt=doubt, **given)
            loss.backward()
        return loss.item(), logits.grad, torch.zeros_like(doubt) if doubt.grad is None else doubt.grad  # type: ignore


def exit_weights(exits: int, weighting: str) -> Tensor:
    """How much each exit counts in the loss.

    exits (int): The number of exits.
    weighting (str): "depth", "half", "equal" or "last".
    RETURNS (Tensor): The weights, which sum to 1, (E,).
    """
    if weighting == "last":
        weights = torch.zeros(exits)
        weights[-1] = 1
    elif weighting == "equal":
        weights = torch.ones(exits)
    else:
        weights = torch.arange(1.0, exits + 1)
        if weighting == "half" and exits > 1:
            weights[-1] = weights[:-1].sum()
    return weights / weights.sum()


def link_gradient(logits: Tensor, targets: numpy.ndarray, possible: numpy.ndarray) -> Tuple[float, Tensor]:
    """The loss of links and its gradient: the cross entropy of what is possible, summed over outputs, the mean over pairs.

    logits (Tensor): The logits of pairs, (P, outputs).
    targets (ndarray): 1 for what is true, (P, outputs).
    possible (ndarray): Which outputs are possible, (P, outputs).
    RETURNS (Tuple[float, Tensor]): The loss, and its gradient, (P, outputs).
    """
    if not len(logits):
        return 0.0, torch.zeros_like(logits)
    with torch.enable_grad():
        logits = logits.detach().requires_grad_()
        wanted = torch.from_numpy(targets).to(logits)
        weights = torch.from_numpy(possible).to(logits) / len(logits)
        loss = F.binary_cross_entropy_with_logits(logits, wanted, weight=weights, reduction="sum")
        loss.backward()
    return loss.item(), logits.grad  # type: ignore[return-value]


def _log_softmax(logits: Tensor, group: Optional[int]) -> Tensor:
    """Over all labels, or over each so many in a row."""
    if group is None:
        return F.log_softmax(logits, dim=-1)
    return F.log_softmax(logits.unflatten(-1, (-1, group)), dim=-1).flatten(-2)


def _supervised(
    logits: Tensor, targets: Tensor, label_mask: Tensor, exclusive: bool, group: Optional[int], weights: Tensor
) -> Tensor:
    """Cross entropy with the labels, what each adds to it, (E, U, K)."""
    if exclusive or group:
        return -(_log_softmax(logits, group) * targets * weights)
    raw = F.binary_cross_entropy_with_logits(logits, targets.expand_as(logits), reduction="none")
    # A label's weight is that of its positives, as for the exclusive case.
    return raw * (1 + (weights - 1) * targets) * label_mask


def _joined(terms: Tensor, known: Tensor, exclusive: bool, group: Optional[int]) -> Tensor:
    """What labels add to a loss in one, (E, U): that of groups is summed, that of labels that are not exclusive is the mean over
    those of which something is known."""
    if exclusive or group:
        return terms.sum(dim=-1)
    return (terms * known).sum(dim=-1) / known.sum(dim=-1).clamp(min=1)


def _distilled(logits: Tensor, label_mask: Tensor, exclusive: bool, group: Optional[int]) -> Tensor:
    """KL divergence of each exit from the last one, which is the teacher and gets no gradient, (E, U)."""
    return _joined(_divergence(logits, logits[-1:].detach(), exclusive, group), label_mask, exclusive, group)


def _divergence(logits: Tensor, teacher: Tensor, exclusive: bool, group: Optional[int]) -> Tensor:
    """KL divergence of each exit from a teacher, by their logits: what each label adds to it, (E, U, K)."""
    teacher = teacher.expand_as(logits)
    if exclusive or group:
        student = _log_softmax(logits, group)
        return F.kl_div(student, _log_softmax(teacher, group), log_target=True, reduction="none")
    divergence = torch.zeros_like(logits)
    for sign in (1, -1):
        student, taught = F.logsigmoid(sign * logits), F.logsigmoid(sign * teacher)
        divergence = divergence + F.kl_div(student, taught, log_target=True, reduction="none")
    return divergence


def _logits_of(probabilities: Tensor, exclusive: bool) -> Tensor:
    """Logits that have these probabilities."""
    return probabilities.clamp(min=SMALLEST).log() if exclusive else probabilities.logit(eps=SMALLEST)


def _wrong(
    logits: Tensor, targets: Tensor, label_mask: Tensor, exclusive: bool, group: Optional[int], threshold: float
) -> Tensor:
    """Whether each exit's answer is wrong, (E, U)."""
    if group:
        found, wanted = (part.unflatten(-1, (-1, group)).argmax(dim=-1) for part in (logits, targets))
        return (found != wanted).any(dim=-1).float()
    if exclusive:
        return (logits.argmax(dim=-1) != targets.argmax(dim=-1)).float()
    decided = torch.sigmoid(logits) >= threshold
    return ((decided != targets.bool()) & label_mask.bool()).any(dim=-1).float()
