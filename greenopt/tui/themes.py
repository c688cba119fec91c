"""Two themes, dark and light, in colours that are distinguishable with any colour vision."""

from textual.theme import Theme

from greenopt.tui.text.status_symbols import BLUE, GREEN, ORANGE, VERMILION, YELLOW

DARK = Theme(
    name="greenopt",
    primary=GREEN,
    secondary=BLUE,
    accent=YELLOW,
    success=GREEN,
    warning=ORANGE,
    error=VERMILION,
    foreground="#d8dee4",
    background="#0f1419",
    surface="#151b22",
    panel="#1d252e",
    dark=True,
    variables={"footer-key-foreground": GREEN},
)
LIGHT = Theme(
    name="greenopt-light",
    primary="#00795a",
    secondary="#0072b2",
    accent="#8a6d00",
    success="#00795a",
    warning="#a05a00",
    error="#b04500",
    foreground="#1b2126",
    background="#fbfbf8",
    surface="#f1f1ec",
    panel="#e4e4dd",
    dark=False,
)
THEMES = (DARK, LIGHT)
