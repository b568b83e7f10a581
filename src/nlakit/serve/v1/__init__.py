"""The project's own routes, under ``/v1``: readings with support, answers with live readings, steering, what there is to read."""
