"""One trial: the child process that trains a setting and meters it.

Run as `python -m greenopt.trial SPEC.json --events-fd N`. Read data -> augment -> model -> loop -> run. Importing this
package imports neither TensorFlow nor anything else that is slow; `greenopt.trial.data.files` keeps to that.
"""
