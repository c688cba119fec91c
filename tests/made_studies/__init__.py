"""Made studies whose truth is known, by family, and how often the advice on them is right."""
