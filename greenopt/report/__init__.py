"""Figures and the report of a study; draws what an analysis says, and fits nothing."""
