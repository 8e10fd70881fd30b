"""Train and predict by K-fold cross-validation: splits without leaks, folds on disk, out-of-fold predictions."""
