"""The span classifier: checkpoints, windows over long contexts, training and prediction."""
