"""Training of a trial: setup, the trainer's loop, int8 conversion, the saved model."""
