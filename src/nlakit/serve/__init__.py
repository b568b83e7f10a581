"""Serving a pair: one queue in front of the models, an HTTP API, and a page to read a model's mind in the browser."""
