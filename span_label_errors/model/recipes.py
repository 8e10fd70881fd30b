"""Recipes: arguments of `QATrainer.train` that suit what a training starts from."""

from span_label_errors.model.checkpoints import Checkpoint

# Measured to serve some hundred examples well. The defaults of TrainingArguments are meant for larger models and more
# data. A backbone has everything to learn, and so has a new head; a reader learns only what is particular to the data.
BACKBONE_RECIPE = {
    "num_train_epochs": 4,
    "learning_rate": 3e-4,
    "head_learning_rate": 1e-2,
    "warmup_steps": 0.1,
    "per_device_train_batch_size": 8,
    "frozen_layers": 2,
    "dropout": 0.0,
}
EMBEDDED_RECIPE = {**BACKBONE_RECIPE, "num_train_epochs": 1, "learning_rate": 1e-4}
# Measured on 33,000 questions with the embedded backbone.
READER_RECIPE = {
    "num_train_epochs": 3,
    "learning_rate": 2e-4,
    "head_learning_rate": 1e-3,
    "warmup_steps": 0.05,
    "per_device_train_batch_size": 16,
    "frozen_layers": 1,
    "dropout": 0.0,
    "weight_decay": 0.01,
}
# Published, not measured here: what Devlin et al. (2019, arXiv 1810.04805), Liu et al. (2019, RoBERTa, arXiv
# 1907.11692) and He et al. (2021, DeBERTa, arXiv 2006.03654) all list for base models. At the rates above, encoders of
# this size forget what they know. A new head has a rate of its own: in the few steps that some hundred examples give,
# it would hardly move at the encoder's. As in the recipes above, it is a multiple of that.
PRETRAINED_RECIPE = {
    "num_train_epochs": 3,
    "learning_rate": 3e-5,
    "head_learning_rate": 1e-3,
    "warmup_steps": 0.1,
    "per_device_train_batch_size": 8,
    "frozen_layers": 0,
    "dropout": None,
    "weight_decay": 0.01,
}
_SMALLEST_LARGE_ENCODER = 512  # hidden_size; base models have 768, the embedded backbone and its like 384


def recipe_for(checkpoint: Checkpoint, has_head: bool) -> dict:
    """Return the recipe for folds that start from a checkpoint with or without a head for their classes."""
    if checkpoint.hidden_size >= _SMALLEST_LARGE_ENCODER:
        # A trained head, and the encoder below it, have only the particulars of the data to learn.
        return {**PRETRAINED_RECIPE, "num_train_epochs": 1} if has_head else PRETRAINED_RECIPE
    return _fitted(EMBEDDED_RECIPE if has_head else BACKBONE_RECIPE, checkpoint)


def reader_recipe_for(checkpoint: Checkpoint) -> dict:
    """Return the recipe for a reader, which learns from many questions, over a base."""
    if checkpoint.hidden_size >= _SMALLEST_LARGE_ENCODER:
        return {**PRETRAINED_RECIPE, "per_device_train_batch_size": READER_RECIPE["per_device_train_batch_size"]}
    return _fitted(READER_RECIPE, checkpoint)


def _fitted(recipe: dict, checkpoint: Checkpoint) -> dict:
    """Freeze no more than a third of the layers, as of the embedded backbone: ALBERT has one, used several times."""
    return {**recipe, "frozen_layers": min(recipe["frozen_layers"], checkpoint.num_layers // 3)}
