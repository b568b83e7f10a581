"""Targets, sites, injection, verbalizer, reconstructor and the pair."""
