"""Figures and the report of a study, drawn from its analysis; no model is fitted here."""
