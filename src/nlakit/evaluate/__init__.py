"""Measures of a pair on held-out rows: reconstruction, controls, truth of claims, and the report.

Import what is needed from the modules: ``runner.evaluate_pair`` measures a pair, ``report`` draws the
pages. ``measures`` holds the definition of every number and imports without torch.
"""
