"""State of the live view: the study's reader, its model, its forecasts."""
