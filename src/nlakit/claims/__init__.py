"""Claims: what an explanation says piece by piece, and the signals that tell which piece to believe."""
