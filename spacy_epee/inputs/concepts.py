"""The ids of concepts that a mention has."""

import re
from typing import List

NO_CONCEPT = ("", "-", "-1", "NIL")
"""What stands for no concept; the last is that of spaCy's entity linker."""

VARIANT = re.compile(r"(?:tmVar:)?[cgmnpr]\|")
"""What variants begin with, whose ids have bars in them: c|SUB|A|1049|G."""


def plain_id(name: str) -> str:
    """RETURNS (str): An id without the stars and spaces that some files have around it."""
    return name.strip("* ")


def concept_ids(name: str) -> List[str]:
    """RETURNS (List[str]): The ids that one is made of, with commas, semicolons or bars between them; none for no concept."""
    parts = re.split("[,;]", name)
    names = [plain_id(one) for part in parts for one in ([part] if VARIANT.match(plain_id(part)) else part.split("|"))]
    return [one for one in dict.fromkeys(names) if one not in NO_CONCEPT]
