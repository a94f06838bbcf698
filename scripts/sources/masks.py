"""Words that give outcomes away: reports are often told by those who know how it ended. docs/outcomes.md lists them."""

import re
from typing import Dict

MASK = "[MASKED]"
"""What stands in place of such words."""

GIVE_AWAYS: Dict[str, str] = {
    "death": r"""di(e|es|ed) dying dead(ly)? deaths? deceased decedent expir(e|es|ed|ing|ation) autops\w* necrops\w*
        post[-\s]?mortem sids? sudden\sinfant sudden\sunexplained cod doa coroner\w* (medical\s)?examiner\w* fatal\w* mortality
        demise still\s?b(orn|irth)\w* funeral\w* burial morgue pass(ed|ing)\saway pronounced killed lethal lifeless certificate
        manner\sof cause\sof undetermined life\ssupport resuscitat\w* cpr unsuccessful\w*""",
    "threat to life": r"""life[-\s]?threat\w* threatening immediately\slife critical(ly)?""",
    "hospital": r"""hosp\w* (re-?)?admit\w* (re-?)?admission\w* adm'?d? in-?patients? [pnmsct]?icu ccu intensive discharg\w*
        d/?c(['e]?d)? rehab\w* transfer\w* overnight overnoc\w* observation ward room med[ei]?vac\w* air\s?lifted
        life\s?flight\w* stay(s|ed)? released (sent|went|returned)\shome""",
    "emergency and medical visits": r"""e\.?r e\.?d e\.r\. e\.d\. emerg\w* urgent\w* casualty ambulance\w* ems emts?
        paramedic\w* 911 9-1-1 m\.?d('s)? m\.d\. dr'?s? doctor\w* docs? doctors' physicians? pmd pcp gp pa?ediatrician\w*
        \w+ologists? specialists? clinics? offices? visit\w* seen saw see sought seek\w* consult\w* present(ed|ing)\sto
        unspecified\smedical (unspecified\s)?medical\s(attention|care|treatment|help)
        (taken|went|brought|rushed|sent|go|going)\sto""",
    "disability": r"""disab\w* handicap\w* permanent\w* incapacit\w* attorneys? lawyers? litigation lawsuits? legal\w*""",
    "recovery": r"""(un|non)?recover\w* (un)?resol[uv]\w* persist\w* on-?going still continu\w* subsid\w* sequel\w* residual\w*
        improv\w* better gone heal(ed|ing) cleared disappear\w* went\saway
        (back|return\w*)\sto\s(normal|baseline|usual|school|work) symptom[-\s]free
        (well|fine|ok|okay|normal|good)\s(now|today) now\s(well|fine|ok|okay|normal|good) doing\s(well|fine|ok|okay|good)""",
    "how it is reported": r"""serious\w* follow(ed)?[-\s]?ups? 60[-\s]?day annual records? summary""",
}
"""Regular expressions for whole words, in any case, by what they give away."""

HARDER: Dict[str, str] = {
    "death": r"""(cardiac|respiratory|cardiopulmonary|cardiorespiratory|full)\sarrest\w* arrest(s|ed)? asystol\w* pulseless\w*
        unresponsive\w* (not|stopped|without)\sbreathing no\s(pulse|heartbeat|heart\srate|respirations?) apn(o?ea|o?eic)
        found (in\s)?(crib|bassinet)s? brain\sdead hospice withdr(aw|ew)\w* donor\w* (co-?)?sleeping asphyxia\w* suffocat\w*
        homicide suicide murder\w* tox(icology)?\sscreen toxicology histolog\w* gross(ly)? petechiae""",
    "hospital": r"""intubat\w* ventilat\w* extubat\w* iv i\.v\.? intravenous\w* lumbar\spuncture lp spinal\stap\w* csf eeg mri
        ct(\sscan\w*)? (cat|ct)\sscans? biops\w* surger(y|ies) surgical\w* operat(ed|ion)\w* work-?up days?\slater x\s?\d+\sdays?
        septic sepsis rule\sout r/o culture(s|d)? diagnos(is|es|ed)""",
    "disability": r"""paraly[sz]\w* wheel-?chair\w* retard\w* delay(s|ed)? autis\w* unable\sto\s(walk|work) lost\s(job|work)""",
}
"""More of them, for a harder version: findings and what is done in hospitals. Here [MASKED] is left out too, since how often
it is there tells as well."""


def _any_of(lists: Dict[str, str]) -> "re.Pattern[str]":
    """One expression for all, the longest first."""
    words = sorted(" ".join(lists.values()).split(), key=len, reverse=True)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(words)})(?![A-Za-z0-9])", re.IGNORECASE)


_GIVE_AWAY, _HARDER = _any_of(GIVE_AWAYS), _any_of(HARDER)
_RUN = re.compile(rf"{re.escape(MASK)}(\W+{re.escape(MASK)})+")


def mask(text: str) -> str:
    """RETURNS (str): A text with a mask in place of words that give outcomes away, and of a run of them."""
    return _RUN.sub(MASK, _GIVE_AWAY.sub(MASK, text))


def mask_harder(masked: str) -> str:
    """RETURNS (str): A masked text without more such words, and without the masks."""
    return " ".join(_HARDER.sub(" ", masked.replace(MASK, " ")).split())
