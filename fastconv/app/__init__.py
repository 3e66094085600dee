"""The ``fastconv`` command: its arguments, training runs with their files, and measurements of this machine."""
