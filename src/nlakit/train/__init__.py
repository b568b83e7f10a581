"""Training: the warm start on a teacher's explanations, then reinforcement learning on reconstruction."""
