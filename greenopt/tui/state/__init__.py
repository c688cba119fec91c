"""What the live view knows of a study: its reader, its model, its forecasts."""
