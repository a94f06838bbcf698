"""Events: triggers, their arguments, and parts and attributes of these. The unit that exits is the window."""

from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple, Union

import numpy
from spacy.tokens import Doc
from spacy.training import Example

from ...doc_attributes import annotation, entries_of, spans_of
from ...engine.replay import Judge, Replay, Score
from ...engine.results import LinkLogits, Predictions
from ...exits.scaling import Threshold
from ...inputs.ngrams import Bags
from ...inputs.windows import Windows
from ..checks import check_settings
from ..defaults import TaskDefaults
from ..replay_score import StoredAnnotation
from .decoder import write_events
from .docs import Event, install_extensions
from .evidence import StructureEvidence
from .gate import window_bags
from .instances import TAGS, TokenInstances, find_tokens
from .learning import find_tags, held, known_units, link_rows, link_targets, warn_lost
from .replay_score import event_score, worse_than_last
from .schema import EntityKinds, EventSchema, SchemaBuilder
from .scorer import PARTS
from .structure import Link, Structure
from .targets import Annotation


@dataclass(frozen=True)
class EventEvidenceBuilder:
    """How the logits of tags are to be read.

    threshold (Union[float, ndarray]): The probability from which a link counts as given, or one for each threshold that the
        schema names, (T,).
    reduce (Union[str, float]): How the tokens of a window are joined: "mean", "max", or a quantile from 0 to 1.
    temperatures (Dict[int, float]): What the logits of the exit after a layer are divided by; 1 for those not named.
    """

    threshold: Threshold
    reduce: Union[str, float]
    temperatures: Dict[int, float] = field(default_factory=dict)

    def evidence(
        self,
        logits: numpy.ndarray,
        *,
        layer: int,
        asked: TokenInstances,
        units: numpy.ndarray,
        link: Optional[Link] = None,
        items: Optional[numpy.ndarray] = None,
        counts: Optional[numpy.ndarray] = None,
        previous: Optional[StructureEvidence] = None,
        doubt: Optional[numpy.ndarray] = None,
    ) -> StructureEvidence:
        """RETURNS (StructureEvidence): What a rule may look at."""
        structure = Structure(
            logits,
            asked=asked,
            units=units,
            items=units if items is None else items,
            counts=numpy.ones(len(units), dtype="int64") if counts is None else counts,
            threshold=self.threshold,
            temperature=self.temperatures.get(layer, 1.0),
            link=link,
        )
        return StructureEvidence(structure, layer=layer, reduce=self.reduce, previous=previous, doubt=doubt)


class Events(TaskDefaults):
    """Events, in `doc._.events`, and their triggers, in `doc.spans["events"]`."""

    name = "events"
    assigns, unit = "doc._.events", "window"
    main, full, per_label = "ev_f", "ev_full", "ev_trigger_per_type"
    parts: Mapping[str, str] = PARTS
    exclusive = False
    group: Optional[int] = TAGS
    head_kind = "tokens"
    has_triggers = has_links = has_features = True

    def __init__(
        self,
        *,
        arguments: str,
        spans_key: Optional[str],
        triggers_key: Optional[str],
        max_pairs: int,
        label_weights: Dict[str, float],
        reduce: Union[str, float],
        leave_out: Optional[Sequence[str]] = None,
    ):
        """
        arguments (str): "free", arguments are found in the text, or "entities", they are among given entities.
        spans_key (Optional[str]): The span group of these entities; None for `doc.ents`.
        triggers_key (Optional[str]): The span group of triggers that are given; None finds them in the text.
        max_pairs (int): The most pairs of spans in a window that are looked at.
        label_weights (Dict[str, float]): How much an event's triggers count in the loss; 1 for those not named.
        reduce (Union[str, float]): How the uncertainties of a window's tokens are joined: "mean", "max", or a quantile.
        leave_out (Optional[Sequence[str]]): Attributes. Given entities of which one is true are no arguments.
        """
        if leave_out and arguments == "free":
            raise ValueError(
                "The setting `leave_out` is for entities that are given, and `arguments` is 'free'. Set that to 'entities', or "
                "`leave_out` to null."
            )
        if arguments not in ("free", "entities"):
            raise ValueError(f"The setting `arguments` is '{arguments}'; give 'free' or 'entities'.")
        if max_pairs < 1:
            raise ValueError(f"The setting `max_pairs` is {max_pairs}; give a number from 1 on.")
        if isinstance(reduce, (int, float)):
            if not 0 < reduce <= 1:
                raise ValueError(f"The setting `reduce` is {reduce}; give a quantile above 0 and up to 1, 'mean' or 'max'.")
            check_settings("max", label_weights)
        else:
            check_settings(reduce, label_weights)
        self.entities = EntityKinds(spans_key, leave_out or ()) if arguments == "entities" else None
        self.spans_key = spans_key if self.entities else None
        self.triggers_key = triggers_key
        self.max_pairs = max_pairs
        self.label_weights = dict(label_weights)
        self.reduce = reduce
        self.reads_entities = self.entities is not None
        self._schema: Optional[Tuple[Tuple[Tuple[str, ...], Dict[str, Any]], EventSchema]] = None
        install_extensions()

    def reading(self, threshold: Threshold, temperatures: Mapping[int, float] = MappingProxyType({})) -> EventEvidenceBuilder:
        """RETURNS (EventEvidenceBuilder): How this task's logits are to be read."""
        return EventEvidenceBuilder(threshold, self.reduce, dict(temperatures))

    def infer_labels(self, examples: Iterable[Example]) -> Tuple[List[str], Dict[str, Any]]:
        """Find out about the data.

        examples (Iterable[Example]): All examples.
        RETURNS (Tuple[List[str], Dict[str, Any]]): The labels of events, in order of appearance; what else is needed depends on
            which of them are learned.
        """
        entries = (entry for eg in examples for entry in annotation(eg.reference, "events") or ())
        return list(dict.fromkeys(entry["label"] for entry in entries)), {}

    def learn_facts(self, examples: Iterable[Example], labels: Sequence[str]) -> Dict[str, Any]:
        """Find out about the events that are learned.

        examples (Iterable[Example]): All examples.
        labels (Sequence[str]): The labels.
        RETURNS (Dict[str, Any]): "schema", the kinds of spans and links, to be saved with the component.
        """
        builder = SchemaBuilder(self.entities, labels)
        entities: Set[str] = set()
        for eg in examples:
            builder.add(eg.reference)
            for doc in (eg.reference, eg.predicted):
                entities.update(span.label_ for span in (self.entities.spans(doc) if self.entities else ()))
        return {"schema": builder.build(entities).to_plain()}

    def schema(self, cfg: Dict[str, Any]) -> EventSchema:
        """RETURNS (EventSchema): The kinds of spans and links of the component, made anew when what it is made of has changed."""
        made_of = tuple(cfg["labels"]), cfg["schema"]
        kept = self._schema
        if kept is None or kept[0][0] != made_of[0] or kept[0][1] is not made_of[1]:
            kept = self._schema = made_of, EventSchema.from_plain(*made_of)
        return kept[1]

    def n_logits(self, labels: Sequence[str], cfg: Dict[str, Any]) -> int:
        """RETURNS (int): Logits per token: out, begin and inside for each kind that is tagged."""
        return TAGS * (len(labels) + len(cfg.get("schema", {}).get("tagged", ())))

    def threshold_names(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[str]:
        """RETURNS (List[str]): What has a threshold of its own: roles and attributes."""
        return self.schema(cfg).threshold_names if "schema" in cfg else []

    def threshold_parts(self, cfg: Dict[str, Any]) -> List[numpy.ndarray]:
        """RETURNS (List[ndarray]): Roles and attributes, which are scored apart."""
        return self.schema(cfg).threshold_parts

    def threshold_rows(
        self, examples: Sequence[Example], items: TokenInstances, links: LinkLogits
    ) -> Tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """RETURNS (Tuple[ndarray, ndarray, ndarray, ndarray]): What thresholds are fitted to, see `link_rows`."""
        self.add_gold(examples, items, strict=False)
        return link_rows(items, links)

    def weights(self, labels: Sequence[str], cfg: Dict[str, Any]) -> List[float]:
        """RETURNS (List[float]): How much each logit counts in the loss."""
        own = [weight for label in labels for weight in (1.0, *[self.label_weights.get(label, 1.0)] * 2)]
        return own + [1.0] * (self.n_logits(labels, cfg) - len(own))

    def sizes(self, cfg: Dict[str, Any]) -> Dict[str, int]:
        """RETURNS (Dict[str, int]): Sizes of the classifiers that depend on the data."""
        schema = self.schema(cfg)
        return {"kinds": len(schema.kinds), "outputs": len(schema.outputs)}

    def has_instances(self, docs: Sequence[Doc]) -> Optional[List[bool]]:
        """RETURNS (Optional[List[bool]]): Those with a trigger, if triggers are given; None for all."""
        return None if self.triggers_key is None else [len(doc.spans.get(self.triggers_key, ())) > 0 for doc in docs]

    def make_instances(self, docs: Sequence[Doc], windows: Windows, cfg: Dict[str, Any]) -> TokenInstances:
        """Say what is to be answered.

        docs (Sequence[Doc]): The Docs.
        windows (Windows): Their windows.
        cfg (Dict[str, Any]): What the component has learned about the data.
        RETURNS (TokenInstances): One item a token and window.
        """
        schema = self.schema(cfg)
        items = find_tokens(docs, windows, schema, self.max_pairs)
        items.find_triggers = self.triggers_key is None
        nodes = []
        for index, doc in enumerate(docs):
            spans = [("entity", span) for span in (self.entities.spans(doc) if self.entities else ())]
            spans += [("event", span) for span in (spans_of(doc, self.triggers_key) if self.triggers_key else ())]
            known = [
                (span.start, span.end, schema.numbers[kind, span.label_])
                for kind, span in spans
                if (kind, span.label_) in schema.numbers
            ]
            for unit, places in held(items, index, known):
                nodes += [(unit, *items.place(unit, *known[place][:2]), known[place][2]) for place in places]
        if nodes:
            items.given = numpy.unique(numpy.array(nodes, dtype="int64"), axis=0)
        return items

    def gate_bags(self, docs: Sequence[Doc], items: TokenInstances) -> Optional[Bags]:
        """RETURNS (Optional[Bags]): The n-grams of the windows; None if triggers are given."""
        return window_bags(docs, items) if items.find_triggers else None

    def add_gold(self, examples: Sequence[Example], items: TokenInstances, strict: bool = True) -> None:
        """Note the annotated spans and links, which are looked at in training beside those that the exits find.

        examples (Sequence[Example]): The examples.
        items (TokenInstances): What was asked about them.
        strict (bool): Whether to refuse what is not known. Otherwise it is left out.
        """
        nodes: Dict[Tuple[int, ...], int] = {}
        links = []
        for index, found in enumerate(self._annotated(examples, items, strict)):
            linked = found.linked()
            for unit, places in held(items, index, found.nodes):
                here = {}
                for place in places:
                    start, end, kind = found.nodes[place]
                    here[place] = nodes.setdefault((unit, *items.place(unit, start, end), kind), len(nodes))
                for head in places:
                    links += [(here[head], here[child], output) for child, output in linked.get(head, ()) if child in here]
        if nodes:
            items.gold = numpy.array(list(nodes), dtype="int64")
        items.known = known_units(examples, items)
        if links:
            items.gold_links = numpy.array(sorted(set(links)), dtype="int64")

    def true_labels(self, doc: Doc) -> Set[str]:
        """RETURNS (Set[str]): The labels that are annotated on a Doc, known or not."""
        return {entry["label"] for entry in entries_of(doc, "events") or ()}

    answered_labels = true_labels

    def is_annotated(self, doc: Doc) -> bool:
        """RETURNS (bool): Whether a Doc says which events it has, be it none."""
        return annotation(doc, "events") is not None

    def take_triggers(self, key: str) -> str:
        """Take triggers from Docs from now on, and look for none.

        key (str): The span group for them, if the task has none of its own.
        RETURNS (str): The span group.
        """
        self.triggers_key = self.triggers_key or key
        return self.triggers_key

    def targets(
        self, examples: Sequence[Example], labels: Sequence[str], items: TokenInstances, strict: bool = True
    ) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says about the tags of tokens.

        examples (Sequence[Example]): The examples.
        labels (Sequence[str]): The labels.
        items (TokenInstances): What was asked.
        strict (bool): Whether to refuse events, roles or attributes that are not known. Otherwise they are left out.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true tags (N, K), and 0 where nothing is known, which is all of a Doc without
            `doc._.events` (N, K), both float32.
        RAISES ValueError: Events, roles or attributes that are not known.
        """
        tags, _ = find_tags(self._annotated(examples, items, strict), items)
        targets = (numpy.arange(TAGS) == tags[:, :, None]).reshape(len(items), TAGS * items.schema.n_layers).astype("float32")
        if not items.find_triggers:
            targets[:, : TAGS * len(labels)] = 0
        return targets, numpy.ones_like(targets) * known_units(examples, items)[items.units][:, None]

    def _annotated(self, examples: Sequence[Example], items: TokenInstances, strict: bool = True) -> List[Annotation]:
        """What is annotated, as nodes and links."""
        return [Annotation(eg, items.schema, self.entities, strict, self.others) for eg in examples]

    def link_targets(self, items: TokenInstances, links: LinkLogits) -> Tuple[numpy.ndarray, numpy.ndarray]:
        """What the annotation says about links.

        items (TokenInstances): What was asked, after `add_gold`.
        links (LinkLogits): What an exit looked at.
        RETURNS (Tuple[ndarray, ndarray]): 1 for true outputs (P, outputs), and which are possible (P, outputs) bool.
        """
        targets, _ = link_targets(items, links)
        return targets, items.possible(links.heads, links.children)

    def check_data(self, examples: Sequence[Example], items: TokenInstances, name: str) -> None:
        """Warn of what is annotated and cannot be learned.

        examples (Sequence[Example]): Some examples.
        items (TokenInstances): What was asked about them.
        name (str): The component.
        """
        warn_lost(examples, self._annotated(examples, items), items, name)

    def annotate(self, docs: Sequence[Doc], answers: Predictions, labels: Sequence[str]) -> None:
        """Write the answers to the Docs.

        docs (Sequence[Doc]): The Docs.
        answers (Predictions): Their answers.
        labels (Sequence[str]): The labels.
        """
        install_extensions()
        items: TokenInstances = answers.items  # type: ignore[assignment]
        for doc, units in zip(docs, items.by_doc()):
            found = [] if answers.graphs is None else [answers.graphs[unit] for unit in units]
            write_events(doc, [graph for graph in found if graph is not None], items, labels)

    def describe(self, scores: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is."""
        return f"mean F of triggers and arguments, {scores.get('ev_triggers') or 'predicted'} triggers"

    def describe_main(self, cfg: Dict[str, Any]) -> str:
        """RETURNS (str): What the main figure is, before there is one."""
        return self.describe({"ev_triggers": self.score_settings()["triggers"]})

    def replay_score(self, stored: StoredAnnotation, replay: Replay) -> Score:
        """RETURNS (Score): The mean of the F-scores of triggers and arguments."""
        return event_score(stored, replay)

    def judge(self, stored: StoredAnnotation) -> Judge:
        """RETURNS (Judge): By triggers and arguments, as they count in the score."""
        return partial(worse_than_last, stored)

    def show(self, doc: Doc, labels: Sequence[str]) -> str:
        """RETURNS (str): The events of a Doc, on a line."""
        return "; ".join(f"{event.label}: {event.trigger}" for event in Event.of(doc))

    def score_settings(self) -> Dict[str, Any]:
        """RETURNS (Dict[str, Any]): What the scorer must know."""
        return {"triggers": "predicted" if self.triggers_key is None else "gold"}
