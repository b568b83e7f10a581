"""Pairs in the layout of the released checkpoints: two Hugging Face folders, each with a side file ``nla_meta.yaml``."""
