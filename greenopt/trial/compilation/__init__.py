"""Compiled programs of a trial: serialized graphs, the program cache, the compilers' caches."""
