"""What was asked: the folder of a study, its parameters, and what its stages hand to each other."""
