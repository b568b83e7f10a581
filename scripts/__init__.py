"""Commands of the workshop: what is generated from the code."""
