"""Which recipe suits which checkpoint."""

from dataclasses import replace

import pytest
from families import make_checkpoint

from span_label_errors.model.checkpoints import Checkpoint, resolve_checkpoint
from span_label_errors.model.recipes import (
    BACKBONE_RECIPE,
    EMBEDDED_RECIPE,
    PRETRAINED_RECIPE,
    READER_RECIPE,
    reader_recipe_for,
    recipe_for,
)


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("large")
    return resolve_checkpoint(make_checkpoint(folder, "roberta", hidden_size=512, num_hidden_layers=1))


def test_embedded_checkpoints_have_the_recipes_that_were_measured_with_them():
    assert recipe_for(resolve_checkpoint("embedded"), has_head=True) == EMBEDDED_RECIPE
    backbone = resolve_checkpoint("embedded-backbone")
    assert recipe_for(backbone, has_head=False) == BACKBONE_RECIPE
    assert reader_recipe_for(backbone) == READER_RECIPE


@pytest.mark.parametrize(("hidden_size", "learning_rate"), [(384, 3e-4), (511, 3e-4), (512, 3e-5), (1024, 3e-5)])
def test_width_of_the_encoder_decides(large, hidden_size, learning_rate):
    recipe = recipe_for(replace(large, hidden_size=hidden_size), has_head=False)
    assert recipe["learning_rate"] == learning_rate


def test_large_encoder_has_the_published_recipe_and_one_epoch_from_a_trained_head(large):
    assert large.hidden_size == 512
    assert recipe_for(large, has_head=False) == PRETRAINED_RECIPE
    assert recipe_for(large, has_head=True) == {**PRETRAINED_RECIPE, "num_train_epochs": 1}
    assert reader_recipe_for(large) == {**PRETRAINED_RECIPE, "per_device_train_batch_size": 16}


@pytest.mark.parametrize(
    ("num_layers", "frozen", "frozen_of_reader"), [(12, 2, 1), (6, 2, 1), (5, 1, 1), (2, 0, 0), (1, 0, 0), (0, 0, 0)]
)
def test_no_recipe_freezes_more_than_a_third_of_the_layers(tiny_bert, num_layers, frozen, frozen_of_reader):
    """ALBERT has one layer, which is used several times; of some families it is not known which the layers are."""
    checkpoint = replace(resolve_checkpoint(tiny_bert), num_layers=num_layers)
    for has_head in (False, True):
        assert recipe_for(checkpoint, has_head)["frozen_layers"] == frozen
    assert reader_recipe_for(checkpoint)["frozen_layers"] == frozen_of_reader
