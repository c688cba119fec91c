"""Explains the terms of statistics and of this report where they first stand.

Invariant: a term is explained once, directly below the paragraph, list, table or figure that uses it first, whatever
sentence it came with; a report without a term does not explain it.
"""

import math
import re
from dataclasses import replace

from greenopt.analysis.results import CLEAR_GAIN, CLEAR_SAVING, MARGIN, SETTLED_FROM, SHOWN_FROM
from greenopt.report.document import Block, Document, Section, terms

TERMS: tuple[tuple[str, str, str], ...] = (
    (
        "Pareto front",
        r"Pareto front",
        "the completed trials that no other one beats: none is as good in all objectives and better in one",
    ),
    ("efficiency", r"\befficien(t|cy)\b", "accuracy over power draw, in 1/Wh"),
    ("power draw", r"power draw", "mean energy of an epoch, in Wh per epoch"),
    ("average power", r"average power|avg_power_w", "energy over the time in which it was used, in W (`avg_power_w`)"),
    ("CO2e", r"CO2e", "the mass of carbon dioxide that warms as much as what making that electricity emits"),
    (
        "settled",
        r"\bsettled\b",
        f"a value that saves energy at a loss of at most {MARGIN:g} of accuracy, or is more accurate at hardly more "
        f"energy, with a probability of {SETTLED_FROM:g}, and that differs by a test as well",
    ),
    (
        "likely",
        r"\blikely\b",
        "the same with less certainty: of the values so called, at most a tenth is expected not to be so",
    ),
    ("hint", r"\bhint\b", "an effect that may well be chance; what the next trials should look at"),
    (
        "little to gain",
        r"little to gain",
        f"surely ({SHOWN_FROM:g}) no value saves {100 * (1 - math.exp(CLEAR_SAVING)):.0f} % of the energy at no loss "
        f"of accuracy, or gains {CLEAR_GAIN:g} of accuracy",
    ),
    ("open", r"\bopen questions?\b|(?m:^open$)|[Uu]ndecided", "the interval holds both a saving and a loss"),
    ("trade-off", r"trade[-_]off", "more accuracy for more energy"),
    ("baseline", r"\bbaseline\b", "the setting that others are compared with: the first value of each parameter"),
    (
        "partial eta squared",
        r"partial eta squared",
        "of what the other parameters leave unexplained, the share 0 to 1 that this one explains",
    ),
    ("type II ANOVA", r"[Tt]ype II", "an analysis of variance that tests each parameter beside all others"),
    (
        "Holm",
        r"\bHolm\b",
        "Holm's adjustment of p-values: with it, the chance of any false finding among all that were compared is "
        "below 5 %",
    ),
    (
        "BH",
        r"\bBH\b|Benjamini",
        "Benjamini and Hochberg's adjustment: of what it finds, no more than the stated share is false on average",
    ),
    ("p", r"\bp (<|=|0)|\bp-value", "the chance of an effect at least as large if there were none"),
    (
        "hypervolume",
        r"[Hh]ypervolume",
        "the mean accuracy that the front has for energy budgets, which are spread evenly on a log scale",
    ),
    ("Pearson, Spearman", r"Pearson", "correlations, from -1 to 1, of the figures and of their ranks"),
    ("PED-ANOVA", r"ped_anova|PED-ANOVA", "which parameters tell the best trials from the rest"),
    ("fANOVA", r"\bfanova\b|fANOVA", "each parameter's share of the variance"),
    ("rank", r"of rank \d", "how many of a regression's columns can be told apart"),
    ("R2", r"\bR2\b", "the share 0 to 1 of the variance that the regression explains"),
    ("F", r"\bF\(", "explained over unexplained variance, with its degrees of freedom in brackets"),
    (
        "condition number",
        r"[Cc]ondition number",
        "how nearly columns depend on one another; from some thousands on, coefficients are unstable",
    ),
    ("OLS", r"\bOLS\b", "ordinary least squares"),
    ("log energy", r"log energy|log_energy", "the logarithm of the energy, on which factors add up"),
    ("HC3", r"\bHC3\b|\brobust\b", "HC3 standard errors stay valid where trials spread unequally (robust)"),
    ("Jarque-Bera", r"Jarque", "a test of whether residuals are normal"),
    ("residual", r"[Rr]esidual", "a trial's measured value less what the regression gives for it"),
    (
        "Cook's distance",
        r"\bCook\b",
        "how far all fitted values move if a trial is left out",
    ),
    ("Huber", r"\bHuber\b", "a fit in which trials far off weigh less"),
    ("Tobit", r"Tobit|censored", "a fit in which the energy of trials that ended early counts as 'at least so much'"),
    ("interaction", r"\binteractions?\b", "one parameter's effect depends on the value of another"),
    ("degrees of freedom", r"degrees of freedom|\bdf\b", "the number of values that could still vary"),
    ("lack of fit", r"lack of fit", "a test of the model's misfit against the spread of repeated settings"),
    ("std. error", r"std\. error", "standard error: the standard deviation of an estimate"),
)
"""Name, what it is recognised by, and what it means."""


def with_terms(document: Document) -> Document:
    """Return a document in which each term of `TERMS` is explained below the block that uses it first."""
    known: set[str] = set()
    return replace(document, sections=tuple(_section(section, known) for section in document.sections))


def _section(section: Section, known: set[str]) -> Section:
    blocks: list[Block] = []
    pending = ""
    for block in section.blocks:
        pending += _words(block)
        # Between two paragraphs of one thought an explanation would only disturb.
        found = _new(pending, known) if block is section.blocks[-1] or block.kind != "text" else ()
        blocks.append(block)
        if found:
            blocks.append(terms(found))
        if block.kind != "text":
            pending = ""
    return replace(section, blocks=tuple(blocks))


def _new(words: str, known: set[str]) -> tuple[str, ...]:
    """Return explanations of the terms in some words that were not explained yet."""
    found = []
    # An explanation may itself use a term; those come into the same list.
    known |= {name for name, _, _ in TERMS if re.search(rf"(?mi)^{re.escape(name)}( \([^)]*\))?: ", words)}
    for _ in range(2):
        for name, pattern, meaning in TERMS:
            if name not in known and re.search(pattern, words):
                known.add(name)
                found.append(f"{name}: {meaning}.")
                words += f" {meaning}"
    return tuple(found)


def _words(block: Block) -> str:
    if block.kind == "code":
        return ""
    cells = (cell for row in block.rows for cell in row)
    return "\n".join((block.text, *block.items, *block.heads, *cells, ""))
