"""The wrapper: prediction, training, and what is saved."""

import copy
import json
import re
import shutil

import numpy as np
import pytest
import torch
import transformers
from conftest import make_example
from datasets import Dataset
from safetensors.torch import load_file
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import BertModel

import fold_trainer
from qa import _best_precision
from span_model import BertForSpanClassification, freeze_layers, load_network, quiet_transformers
from spanbert import QA, QATrainer
from squad import squad_features
from windows import IGNORED_LABEL, build_windows, tokenize_examples

LABEL_MAP = {"O": 0, "ANS": 1}
FAST = {"learning_rate": 1e-3, "per_device_train_batch_size": 4}


@pytest.fixture(scope="module")
def qa(tiny_bert) -> QA:
    return QA(tiny_bert, max_length=48, doc_stride=8)


@pytest.fixture
def dataset(examples) -> Dataset:
    return Dataset.from_list(examples, squad_features())


@pytest.fixture
def trained(qa, examples, tmp_path):
    QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1, **FAST)
    return tmp_path / "model"


def weights_of(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# --- prediction ---------------------------------------------------------------------------------


def test_prediction_lays_out_question_and_context(qa):
    example = make_example("1", "Notre Dame is in Paris.", "Where is it?", "Paris")
    prediction = qa.predict(example)
    pred_probs, tokens, labels = prediction

    where_is_it = ["Where", "is", "i", "t", "?"]  # "it" is no word of the tiny vocabulary
    assert tokens == ["[CLS]", *where_is_it, "[SEP]", "Notre", "Dame", "is", "in", "Paris", ".", "[SEP]"]
    assert pred_probs.shape == labels.shape == (14, 2)
    assert labels[:, 1].tolist() == [0] * 11 + [1, 0, 0]
    assert labels[:, 0].tolist() == [1] * 11 + [0, 1, 1]
    assert np.flatnonzero(prediction.is_context).tolist() == [7, 8, 9, 10, 11, 12]
    assert prediction.char_start.tolist() == [0, 0, 6, 9, 10, 11, 0, 0, 6, 11, 14, 17, 22, 0]
    assert prediction.char_end.tolist() == [0, 5, 8, 10, 11, 12, 0, 5, 10, 13, 16, 22, 23, 0]
    assert ((pred_probs > 0) & (pred_probs < 1)).all()


def test_prediction_is_what_the_network_says(qa):
    example = make_example("1", "The capital is Paris.", "What is the capital?", "Paris")
    encoded = qa.tokenizer(example["question"], example["context"], return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(qa.model(**encoded).logits[0]).numpy()
    np.testing.assert_allclose(qa.predict(example).pred_probs, expected, atol=1e-6)


@pytest.mark.parametrize("one_segment", [False, True])
def test_network_is_the_encoder_of_bert_and_a_linear_head(tiny_bert, tmp_path, one_segment):
    """An encoder of single texts reads question and context as one segment, any other as two."""
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    if one_segment:
        (tmp_path / "modules.json").write_text("[]")
    qa = QA(tmp_path, max_length=48)
    encoded = qa.tokenizer("What is the capital?", "The capital is Paris.", return_tensors="pt")
    segments = encoded["token_type_ids"] * (0 if one_segment else 1)
    encoder = BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).eval()
    with torch.no_grad():
        hidden = encoder(encoded["input_ids"], token_type_ids=segments).last_hidden_state[0]
        expected = torch.sigmoid(hidden @ qa.model.classifier.weight.cpu().T + qa.model.classifier.bias.cpu())
    found = qa.predict(make_example("1", "The capital is Paris.", "What is the capital?", "Paris"))
    np.testing.assert_allclose(found.pred_probs, expected, atol=1e-6)


def test_seed_draws_the_head_of_a_checkpoint_without_one(tiny_bert):
    first, same, other = (QA(tiny_bert, max_length=48, seed=seed).model.classifier.weight for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_loading_a_network_leaves_the_random_state_alone(qa):
    before = torch.random.get_rng_state()
    load_network(qa.checkpoint, LABEL_MAP, seed=5)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("bars", [True, False])
def test_transformers_is_silent_only_as_long_as_it_should_be(bars):
    logging = transformers.utils.logging
    verbosity, enabled = logging.get_verbosity(), logging.is_progress_bar_enabled()
    switch = {True: logging.enable_progress_bar, False: logging.disable_progress_bar}
    try:
        logging.set_verbosity_info()
        switch[bars]()
        with pytest.raises(KeyboardInterrupt), quiet_transformers():
            assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.ERROR, False)
            raise KeyboardInterrupt
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, bars)
    finally:
        logging.set_verbosity(verbosity)
        switch[enabled]()


def test_question_that_holds_a_separator_cannot_move_the_context(qa):
    prediction = qa.predict(make_example("1", "In Paris [SEP] in London.", "What [SEP] is [CLS]?", "Paris"))
    assert prediction.tokens.index("[SEP]") == np.flatnonzero(prediction.is_context)[0] - 1
    assert prediction.context_only().tokens[:2] == ["In", "Paris"]


def test_batched_prediction_equals_single_prediction(qa, examples):
    long_context = "The capital is Paris. " * 20
    examples = [*examples, make_example("long", long_context, "What is the capital?", "Paris"), examples[0]]
    batched = qa.predict_batch(examples, batch_size=5)
    assert len(batched) == len(examples)
    for example, from_batch in zip(examples, batched, strict=True):
        alone = qa.predict(example)
        assert from_batch.tokens == alone.tokens
        np.testing.assert_allclose(from_batch.pred_probs, alone.pred_probs, atol=1e-5)
        np.testing.assert_array_equal(from_batch.labels, alone.labels)


def test_each_context_token_has_the_probability_of_the_window_that_shows_most_around_it(qa):
    context = " ".join(["paris london rome berlin oslo"] * 16)  # 80 tokens
    example = make_example("1", context, "What is it?", "rome")
    prediction = qa.predict(example).context_only()
    assert len(prediction.tokens) == 80

    # By hand: 6 question tokens (w h a t is a word; "it" is two), so a window holds 48 - 3 - 5 = 40 context
    # tokens and advances by 40 - 8 = 32: [0, 40), [32, 72), [64, 80).
    question = qa.tokenizer(example["question"], add_special_tokens=False)["input_ids"]
    assert len(question) == 5
    context_ids = qa.tokenizer(context, add_special_tokens=False)["input_ids"]
    windows = [(0, 40), (32, 72), (64, 80)]
    for token_index in range(80):
        start, end = max(
            (window for window in windows if window[0] <= token_index < window[1]),
            key=lambda window: (min(token_index - window[0], window[1] - 1 - token_index), -window[0]),
        )
        ids = [qa.tokenizer.cls_token_id, *question, qa.tokenizer.sep_token_id, *context_ids[start:end]]
        ids.append(qa.tokenizer.sep_token_id)
        types = [0] * 7 + [1] * (end - start + 1)
        with torch.no_grad():
            logits = qa.model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[0]
        expected = torch.sigmoid(logits[7 + token_index - start]).numpy()
        np.testing.assert_allclose(prediction.pred_probs[token_index], expected, atol=1e-5)


def test_example_without_answers_can_be_predicted(qa):
    prediction = qa.predict({"id": "1", "question": "What?", "context": "The capital is Paris."})
    assert prediction.labels[:, 1].sum() == 0


def test_progress_is_told_up_to_one(qa, examples):
    shares = []
    qa.predict_batch(examples, batch_size=5, on_batch=shares.append)
    assert shares == [5 / 12, 10 / 12, 1.0]


@pytest.fixture
def batches(qa, monkeypatch) -> list[tuple[int, ...]]:
    """The shapes of the batches that the model is asked for, as they come."""
    shapes, window_probs = [], QA._window_probs

    def noted(self, batch):
        shapes.append(tuple(batch["input_ids"].shape))
        return window_probs(self, batch)

    monkeypatch.setattr(QA, "_window_probs", noted)
    monkeypatch.setattr("qa._TOKENS_OF_BATCH", {qa.device.type: 2048})
    return shapes


def test_batches_hold_as_many_windows_as_fit_among_their_tokens(qa, examples, batches):
    """Of the longest first; by hand, 2048 tokens hold 42 windows of 48."""
    long = make_example("long", "the city . " * 32, "What is the capital?")
    short = make_example("short", "In Paris.", "Where is it?", "Paris")
    rows = [*[long] * 20, *[short] * 200, *examples]
    predictions = qa.predict_batch(rows)
    lengths = sorted((len(window) for row in rows for window in windows_of(qa, row)), reverse=True)
    expected, done = [], 0
    while done < len(lengths):
        size = min(2048 // lengths[done], len(lengths) - done)
        expected.append((size, lengths[done]))
        done += size
    assert batches == expected
    assert batches[0] == (42, 48) and len({length for _, length in batches}) > 2
    for index in (18, 19, 20, 21, -2, -1):
        alone = qa.predict(rows[index]).pred_probs
        np.testing.assert_allclose(alone, predictions[index].pred_probs, rtol=0, atol=1e-5)


def windows_of(qa, example):
    tokenized = tokenize_examples(qa.tokenizer, [example], LABEL_MAP, max_length=qa.max_length)
    windows = build_windows(tokenized, qa.tokenizer, max_length=qa.max_length, doc_stride=qa.doc_stride)
    return [window.input_ids for window in windows]


def test_window_of_more_tokens_than_a_batch_is_a_batch_alone(qa, examples, batches, monkeypatch):
    whole = qa.predict_batch(examples)
    batches.clear()
    monkeypatch.setattr("qa._TOKENS_OF_BATCH", {qa.device.type: 10})
    alone = qa.predict_batch(examples)
    assert [size for size, _ in batches] == [1] * 12
    for one, other in zip(whole, alone, strict=True):
        np.testing.assert_allclose(one.pred_probs, other.pred_probs, rtol=0, atol=1e-5)


def test_number_of_windows_in_a_batch_can_be_given(qa, examples, batches):
    qa.predict_batch(examples, batch_size=5)
    assert [size for size, _ in batches] == [5, 5, 2]


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "expected"),
    [("cpu", True, "float32"), ("cuda", True, "bfloat16"), ("cuda", False, "float32"), ("mps", True, "float32")],
)
def test_precision_is_bfloat16_where_a_gpu_has_it(monkeypatch, device, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat16)
    assert _best_precision(torch.device(device)) == expected


def test_precision_is_used_recorded_and_handed_on(tiny_bert, examples, tmp_path):
    qas = {precision: QA(tiny_bert, max_length=48, precision=precision) for precision in ("float32", "bfloat16")}
    auto = QA(tiny_bert, max_length=48)
    assert auto.precision == _best_precision(auto.device)
    with torch.no_grad():
        for qa in qas.values():
            qa.model.classifier.weight *= 10  # probabilities far apart
    exact, rounded = (np.concatenate([p.pred_probs for p in qa.predict_batch(examples)]) for qa in qas.values())
    assert exact.dtype == rounded.dtype == np.float32
    assert exact.std() > 0.05
    assert 0 < np.abs(exact - rounded).max() < 0.02
    for precision, qa in qas.items():
        trainer = QATrainer(qa, 48, LABEL_MAP)
        assert trainer.qa.precision == precision
        assert trainer.training_arguments(tmp_path).bf16 == (precision == "bfloat16")
        assert trainer.load(tiny_bert).precision == precision
        assert {weights.dtype for weights in qa.model.parameters()} == {torch.float32}


def test_training_in_bfloat16_saves_weights_of_full_precision(tiny_bert, examples, tmp_path):
    for precision in ("float32", "bfloat16"):
        qa = QA(tiny_bert, max_length=48, precision=precision)
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / precision, 1, **FAST)
    exact, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("float32", "bfloat16"))
    assert {weights.dtype for weights in rounded.values()} == {torch.float32}
    largest = max((exact[name] - rounded[name]).abs().max().item() for name in exact)
    assert 0 < largest < 0.02


@pytest.mark.parametrize("precision", ["bf16", "", None, "float16"])
def test_precision_that_is_none_is_refused(tiny_bert, precision):
    with pytest.raises(ValueError) as error:
        QA(tiny_bert, precision=precision)
    assert str(error.value) == f"precision: expected one of 'auto', 'float32', 'bfloat16', found {precision!r}"


def test_many_examples_are_predicted_part_by_part(qa, examples, monkeypatch):
    whole = qa.predict_batch(examples)
    monkeypatch.setattr("qa._EXAMPLES_AT_ONCE", 5)
    shares = []
    parts = qa.predict_batch(examples, batch_size=2, on_batch=shares.append)
    for one, other in zip(whole, parts, strict=True):
        assert one.tokens == other.tokens
        np.testing.assert_allclose(one.pred_probs, other.pred_probs, atol=1e-5)
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert shares[2] == pytest.approx(5 / 12)  # the first part's last batch
    examples[8]["question"] = " "
    with pytest.raises(ValueError, match=r"example 8 \(id '4a'\)"):
        qa.predict_batch(examples)


def test_window_larger_than_the_model_is_refused(tiny_bert):
    with pytest.raises(ValueError, match="max_length: expected at most 64, the positions that the model has, found 65"):
        QA(tiny_bert, max_length=65)


# --- loss ---------------------------------------------------------------------------------------


def test_loss_counts_each_owned_context_token_and_class_once(qa, tiny_bert):
    network = load_network(qa.checkpoint, LABEL_MAP, seed=0).eval()
    labels = torch.full((2, 6, 2), float(IGNORED_LABEL))
    labels[0, 3] = torch.tensor([0.0, 1.0])
    labels[1, 4] = torch.tensor([1.0, 0.0])
    input_ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        output = network(input_ids, labels=labels)
        expected = sum(
            binary_cross_entropy_with_logits(output.logits[row, token, column], labels[row, token, column])
            for row, token in ((0, 3), (1, 4))
            for column in (0, 1)
        )
        in_accumulation = network(input_ids, labels=labels, num_items_in_batch=8).loss
        # As DataParallel hands the number to a replica.
        in_replica = network(input_ids, labels=labels, num_items_in_batch=torch.tensor([[8]])).loss
    assert output.loss.item() == pytest.approx(expected.item() / 4, rel=1e-5)
    assert in_accumulation.item() == pytest.approx(expected.item() / 8, rel=1e-5)
    assert in_replica.item() == pytest.approx(expected.item() / 8, rel=1e-5)


def test_gradient_accumulation_gives_the_same_loss_and_weights(qa, examples, tmp_path):
    """Batches of unequal numbers of counted tokens: a mean of means would differ."""
    examples = [*examples[:7], make_example("x", "In Paris.", "Where?", "Paris")]
    trainer = QATrainer(qa, 48, LABEL_MAP)
    common = {"dropout": 0.0, "learning_rate": 1e-3, "train_sampling_strategy": "sequential", "logging_steps": 1}
    whole = trainer.train(examples, tmp_path / "8x1", 1, per_device_train_batch_size=8, **common)
    parts = trainer.train(
        examples, tmp_path / "2x4", 1, per_device_train_batch_size=2, gradient_accumulation_steps=4, **common
    )
    assert parts.loss_history == [(1.0, pytest.approx(whole.loss_history[0][1], abs=2e-4))]
    first, second = (QA(folder).predict(examples[0]).pred_probs for folder in (tmp_path / "8x1", tmp_path / "2x4"))
    np.testing.assert_allclose(first, second, atol=1e-5)


# --- training -----------------------------------------------------------------------------------


def test_training_twice_gives_the_same_bytes(qa, dataset, tmp_path):
    trainer = QATrainer(qa, 48, LABEL_MAP)
    for name in ("first", "second"):
        trainer.train(dataset, tmp_path / name, 2, seed=5, **FAST)
        torch.rand(3)  # the global random state must not matter
    names = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "second").iterdir())
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_seed_changes_the_weights(qa, dataset, tmp_path):
    trainer = QATrainer(qa, 48, LABEL_MAP)
    for seed in (0, 1):
        trainer.train(dataset, tmp_path / str(seed), 1, seed=seed, **FAST)
    assert weights_of(tmp_path / "0") != weights_of(tmp_path / "1")


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.0, "per_device_train_batch_size": 4},
        {"dropout": 0.0, "per_device_train_batch_size": 4, "train_sampling_strategy": "random"},
        {"dropout": 0.5, "train_sampling_strategy": "sequential"},
    ],
    ids=["order by length", "random order", "dropout"],
)
def test_seed_changes_more_than_a_new_head(trained, examples, tmp_path, options):
    trainer = QATrainer(QA(trained), 48, LABEL_MAP)
    for seed in (0, 1):
        trainer.train(examples, tmp_path / str(seed), 1, seed=seed, learning_rate=1e-3, **options)
    assert weights_of(tmp_path / "0") != weights_of(tmp_path / "1")


def test_every_call_starts_from_the_checkpoint(qa, examples, tmp_path):
    """The older recipe's leak: one model carried from fold to fold."""
    trainer = QATrainer(qa, 48, LABEL_MAP)
    before = copy.deepcopy(qa.model.state_dict())
    trainer.train(examples[:6], tmp_path / "first", 1, **FAST)
    trainer.train(examples[6:], tmp_path / "after_first", 1, **FAST)
    QATrainer(qa, 48, LABEL_MAP).train(examples[6:], tmp_path / "alone", 1, **FAST)
    assert weights_of(tmp_path / "after_first") == weights_of(tmp_path / "alone")
    assert all(torch.equal(before[name], tensor) for name, tensor in qa.model.state_dict().items())


def test_training_learns_its_examples(qa, examples, tmp_path):
    report = QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 40, learning_rate=3e-3, dropout=0.0)
    assert report.loss_history[-1][1] < report.loss_history[0][1] / 4
    for prediction in QA(tmp_path / "model").predict_batch(examples):
        context = prediction.context_only()
        np.testing.assert_array_equal(context.pred_probs > 0.5, context.labels.astype(bool))


def test_new_head_starts_at_the_base_rate(qa, examples, tmp_path):
    trainer = QATrainer(qa, 48, LABEL_MAP)
    trainer.train(examples, tmp_path / "model", 1, learning_rate=1e-9)
    counted = np.concatenate([example.labels for example in trainer.tokenize(examples)])
    probs = np.concatenate([p.context_only().pred_probs for p in QA(tmp_path / "model").predict_batch(examples)])
    np.testing.assert_allclose(probs.mean(axis=0), counted.mean(axis=0), atol=0.05)


def test_training_starts_from_the_checkpoint_a_head_of_the_seed_and_the_base_rate(qa, examples, tmp_path):
    QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1, learning_rate=0.0, seed=3)
    trained = QA(tmp_path / "model").model.state_dict()
    for name, start in load_network(qa.checkpoint, LABEL_MAP, seed=3).state_dict().items():
        if name != "classifier.bias":
            assert torch.equal(trained[name].cpu(), start), name
    # By hand: a context has 22 tokens, a city is one of them, a year four; each is asked for six times.
    log_odds = np.log(30 / (264 - 30))
    np.testing.assert_allclose(trained["classifier.bias"].cpu(), [-log_odds, log_odds], rtol=1e-5)


def test_training_on_starts_from_the_trained_head(trained, examples, tmp_path):
    QATrainer(QA(trained), 48, LABEL_MAP).train(examples[:2], tmp_path / "next", 1, learning_rate=0.0)
    before, after = (QA(folder).model.state_dict() for folder in (trained, tmp_path / "next"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_head_learning_rate_moves_weight_and_bias_of_the_head_only(qa, examples, tmp_path):
    trainer = QATrainer(qa, 48, LABEL_MAP)
    for head_learning_rate in (1e-30, 1e-2):  # the first is lost in rounding
        trainer.train(
            examples, tmp_path / str(head_learning_rate), 1, learning_rate=0.0, head_learning_rate=head_learning_rate
        )
    still, moved = (QA(tmp_path / name).model.state_dict() for name in ("1e-30", "0.01"))
    changed = {name for name in still if not torch.equal(still[name], moved[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_weight_decay_holds_for_a_head_with_a_learning_rate_of_its_own(qa, examples, tmp_path):
    norms = []
    for weight_decay in (0.0, 500.0):
        QATrainer(qa, 48, LABEL_MAP).train(
            examples, tmp_path / "model", 1, learning_rate=0.0, head_learning_rate=1e-3, weight_decay=weight_decay,
            per_device_train_batch_size=4,
        )  # fmt: skip
        norms.append(QA(tmp_path / "model").model.classifier.weight.norm().item())
    # By hand: three steps of learning rates 1e-3, 2/3 e-3 and 1/3 e-3 keep 1/2 * 2/3 * 5/6 = 0.28.
    assert norms[1] < 0.4 * norms[0]


@pytest.mark.parametrize(
    ("num_layers", "frozen"), [(0, []), (1, ["embeddings", "layer.0."]), (2, ["embeddings", "layer."])]
)
def test_frozen_layers_stay_as_they_are(qa, examples, tmp_path, num_layers, frozen):
    QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1, frozen_layers=num_layers, **FAST)
    start = load_network(qa.checkpoint, LABEL_MAP, seed=0).state_dict()
    trained = QA(tmp_path / "model").model.state_dict()
    for name in start:
        is_frozen = any(part in name for part in frozen)
        # Words and positions that do not occur get no gradient; whole matrices always do.
        if is_frozen or name.endswith("dense.weight"):
            assert torch.equal(start[name], trained[name].cpu()) == is_frozen, name


def test_more_frozen_layers_than_there_are_is_refused(qa):
    network = load_network(qa.checkpoint, LABEL_MAP, seed=0)
    with pytest.raises(ValueError, match="frozen_layers: expected 0 to 2, the layers of the model, found 3"):
        freeze_layers(network, 3)


def test_answer_behind_the_window_is_trained_on(qa):
    context = "paris " * 70 + "london ."
    windows = build_windows(
        tokenize_examples(qa.tokenizer, [make_example("1", context, "Where?", "london")], LABEL_MAP, max_length=48),
        qa.tokenizer,
        max_length=48,
        doc_stride=8,
    )
    assert len(windows) > 1
    assert windows[-1].owned[-2]  # "london", behind token 48


def test_model_is_saved_as_safetensors_with_all_that_loading_needs(trained):
    names = {file.name for file in trained.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "label_map.json", "spanbert.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".pth"))]
    assert json.loads((trained / "label_map.json").read_text()) == LABEL_MAP
    reloaded = QA(trained)
    assert (reloaded.max_length, reloaded.doc_stride, reloaded.answers) == (48, 8, "first")
    assert isinstance(reloaded.model, BertForSpanClassification)


@pytest.mark.parametrize(("answers", "labels"), [("first", [1, 0, 0]), ("all", [1, 0, 1])])
def test_answers_that_count_are_trained_on_and_saved(tiny_bert, tmp_path, answers, labels):
    example = make_example("1", "paris london rome", "Where?", "paris", "rome")
    trainer = QATrainer(QA(tiny_bert, max_length=48, answers=answers), 48, LABEL_MAP)
    assert trainer.tokenize([example])[0].labels[:, 1].tolist() == labels
    trainer.train([example], tmp_path / "model", 1)
    reloaded = QA(tmp_path / "model")
    assert reloaded.answers == answers
    assert reloaded.predict(example).context_only().labels[:, 1].tolist() == labels


@pytest.mark.parametrize(("max_length", "doc_stride"), [(48, 20), (63, 20), (36, 12)])
def test_windows_of_another_length_share_at_most_a_third(tiny_bert, max_length, doc_stride):
    qa = QA(tiny_bert, max_length=48, doc_stride=20)
    assert QATrainer(qa, max_length, LABEL_MAP).doc_stride == doc_stride


def test_windows_have_the_length_that_the_trainer_was_given(tiny_bert, tmp_path):
    context = " ".join(["paris london rome berlin oslo"] * 16)  # 80 tokens
    qa = QA(tiny_bert, max_length=48, doc_stride=16)
    report = QATrainer(qa, 28, LABEL_MAP).train([make_example("1", context, "What is it?", "rome")], tmp_path / "m", 1)
    # By hand: 28 - 3 - 5 question tokens leave 20, which advance by 20 - 28 // 3 = 11: 0, 11, ... 66.
    assert report.num_windows == 7
    assert (QA(tmp_path / "m").max_length, QA(tmp_path / "m").doc_stride) == (28, 9)


def test_question_is_cut_for_the_windows_of_the_trainer(qa, examples):
    # By hand: (28 - 3) // 2 = 12 tokens, where the windows of `qa` would leave room for all 20.
    with pytest.warns(UserWarning, match="1 of 1 questions are longer than 12 tokens"):
        tokenized = QATrainer(qa, 28, LABEL_MAP).tokenize([{**examples[0], "question": "what " * 20}])
    assert (len(tokenized[0].question.token_ids), tokenized[0].num_question_tokens_cut) == (12, 8)


def test_training_window_larger_than_the_model_is_refused(qa):
    with pytest.raises(ValueError, match="max_length: expected at most 64, the positions that the model has, found 65"):
        QATrainer(qa, 65, LABEL_MAP)


def test_half_precision_checkpoint_is_read_in_float32(tiny_bert, tmp_path):
    """from_pretrained would take the checkpoint's own precision."""
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).half().save_pretrained(tmp_path)
    assert {weights.dtype for weights in QA(tmp_path).model.parameters()} == {torch.float32}


def test_trained_model_does_not_forget_its_head(trained, examples):
    """A head that is drawn anew on loading would give other probabilities for another seed."""
    np.testing.assert_array_equal(
        QA(trained, seed=0).predict(examples[0]).pred_probs, QA(trained, seed=1).predict(examples[0]).pred_probs
    )


def test_several_classes_overlap(tiny_bert, tmp_path):
    label_map = {"O": 0, "PER": 1, "LOC": 2}
    context = "The man in Paris was in Rome."
    example = {
        "id": "1", "title": "", "context": context, "question": "Who and where?",
        "answers": {"text": ["The man in Paris", "Paris", "Rome"], "answer_start": [0, 11, 24],
                    "label": ["PER", "LOC", "LOC"]},
    }  # fmt: skip
    tokens = ["The", "man", "in", "Paris", "was", "in", "Rome", "."]
    for answers, locations in (("first", ["Paris"]), ("all", ["Paris", "Rome"])):
        qa = QA(tiny_bert, label_map=label_map, max_length=48, answers=answers)
        labels = qa.predict(example).context_only().labels
        assert [token for token, row in zip(tokens, labels, strict=True) if row[1]] == ["The", "man", "in", "Paris"]
        assert [token for token, row in zip(tokens, labels, strict=True) if row[2]] == locations
        assert (labels[:, 0] == 1 - labels[:, 1:].max(axis=1)).all()
    QATrainer(qa, 48, label_map).train([example], tmp_path / "model", 1)
    assert QA(tmp_path / "model").predict(example).pred_probs.shape[1] == 3


def test_arguments_of_trainer_reach_it(qa, examples, tmp_path):
    trainer = QATrainer(qa, 48, LABEL_MAP)
    report = trainer.train(examples, tmp_path / "model", 1, per_device_train_batch_size=3, logging_steps=1)
    assert len(report.loss_history) == report.num_windows / 3 == 4
    with pytest.raises(TypeError, match="evaluation_strategy"):
        trainer.train(examples, tmp_path / "other", 1, evaluation_strategy="epoch")
    assert not (tmp_path / "other").exists()


def test_given_arguments_come_before_the_defaults(qa, tmp_path):
    given = {
        "train_sampling_strategy": "sequential", "save_strategy": "epoch", "disable_tqdm": False,
        "logging_steps": 7, "logging_nan_inf_filter": True,
    }  # fmt: skip
    arguments = QATrainer(qa, 48, LABEL_MAP).training_arguments(tmp_path, **given)
    assert {name: getattr(arguments, name) for name in given} == given


def test_long_question_is_cut_and_counted(qa, examples, tmp_path):
    long_question = {**examples[0], "question": "what " * 30}
    with pytest.warns(
        UserWarning, match=r"1 of 13 questions are longer than 22 tokens.*first is example 12 \(id '0a'\)"
    ):
        report = QATrainer(qa, 48, LABEL_MAP).train([*examples, long_question], tmp_path / "model", 1)
    assert report.num_questions_cut == 1
    with pytest.warns(UserWarning, match="1 of 1 questions are longer"):
        prediction = qa.predict(long_question)
    assert prediction.tokens.index("[SEP]") == 1 + 22
    assert prediction.context_only().tokens == qa.predict(examples[0]).context_only().tokens


# --- what goes wrong ----------------------------------------------------------------------------


def test_loss_that_is_no_number_stops_training_and_leaves_no_model(qa, examples, tmp_path):
    with pytest.raises(FloatingPointError, match=r"expected a finite loss, found nan .*; try a learning_rate below 1e"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 5, learning_rate=1e30, max_grad_norm=0.0)
    assert not (tmp_path / "model").exists()


def test_weights_that_are_no_numbers_are_not_saved(qa, examples, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.Trainer.train", lambda self: self.model.classifier.bias.data.fill_(float("nan")))
    with pytest.raises(FloatingPointError, match=r"finite weights after .* NaN or infinity in classifier\.bias"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1)
    assert not (tmp_path / "model").exists()


def test_model_that_cannot_be_saved_whole_leaves_no_folder(qa, examples, tmp_path, monkeypatch):
    def fail(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(qa.tokenizer), "save_pretrained", fail)
    with pytest.raises(OSError, match="No space left"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answers": "bogus"}, 'answers: expected "first" or "all", found \'bogus\''),
        ({"label_map": {}}, "label_map: expected 'O' and at least one span class"),
        ({"max_length": 0}, "max_length: expected at least 5, found 0"),
        ({"doc_stride": 31}, "doc_stride: expected 0 to 30 for max_length=64"),
    ],
)
def test_wrong_options_are_refused_and_not_replaced(tiny_bert, options, message):
    with pytest.raises(ValueError, match=message):
        QA(tiny_bert, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answers": {"text": ["Paris"], "answer_start": [4]}}, "expected the answer 'Paris' at offset 4; found"),
        ({"answers": {"text": [""], "answer_start": [2]}}, "expected an answer text that is not empty"),
        ({"answers": [{"text": "Paris", "answer_start": 0}]}, "expected 'answers' with 'text' and 'answer_start'"),
        ({"context": None}, "expected 'context' to be a string; found NoneType None"),
    ],
)
def test_example_that_is_wrong_is_refused_by_id(qa, tmp_path, change, message):
    """Also where it did not come through `load_squad`."""
    example = {**make_example("7", "Paris is nice", "Where?", "Paris"), **change}
    with pytest.raises(ValueError, match=rf"example 0 \(id '7'\): {re.escape(message)}"):
        qa.predict(example)
    with pytest.raises(ValueError, match=rf"example 0 \(id '7'\): {re.escape(message)}"):
        QATrainer(qa, 48, LABEL_MAP).train([example], tmp_path / "model", 1)


def test_generator_of_examples_is_remembered_as_seen(qa, examples, tmp_path):
    QATrainer(qa, 48, LABEL_MAP).train((example for example in examples), tmp_path / "model", 1)
    assert len(fold_trainer.seen_contexts(QATrainer(QA(tmp_path / "model"), 48, LABEL_MAP))) == 6


def test_saved_stride_holds_for_the_saved_window_only(trained):
    assert [QA(trained, max_length=length).doc_stride for length in (None, 48, 30)] == [8, 8, 10]


@pytest.mark.parametrize(
    "options", [{"num_train_epochs": 0}, {"head_learning_rate": 0.0}, {"head_learning_rate": -1.0}, {"dropout": 1.0}]
)
def test_number_out_of_range_is_refused_by_train(qa, examples, tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a number"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("batch_size", [0, -1])
def test_batch_of_nothing_is_refused(qa, examples, batch_size):
    with pytest.raises(ValueError, match=f"batch_size: expected at least 1, or None, found {batch_size}"):
        qa.predict_batch(examples, batch_size=batch_size)


def test_folder_of_someone_else_is_not_overwritten(qa, examples, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("text")
    with pytest.raises(FileExistsError, match="holds files that QATrainer did not write"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "thesis", 1)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "text"


def test_start_checkpoint_is_not_overwritten(trained, examples):
    before = weights_of(trained)
    with pytest.raises(FileExistsError, match="this is the checkpoint that training starts from"):
        QATrainer(QA(trained), 48, LABEL_MAP).train(examples, trained, 1)
    assert weights_of(trained) == before


def test_checkpoint_that_changes_under_the_trainer_is_noticed(qa, trained, examples, tmp_path):
    trainer = QATrainer(QA(trained), 48, LABEL_MAP)
    QATrainer(qa, 48, LABEL_MAP).train(examples, trained, 1, seed=9, **FAST)
    with pytest.raises(ValueError, match=r"the checkpoint changed since QA.* was made"):
        trainer.train(examples, tmp_path / "next", 1)


def test_model_of_other_labels_is_refused(trained):
    with pytest.raises(ValueError, match=r"expected the label map \{'O': 0, 'PER': 1\}, found a model trained with"):
        QA(trained, label_map={"O": 0, "PER": 1})
    with pytest.raises(ValueError, match="expected the label map"):
        QATrainer(QA(trained), 48, {"O": 0, "PER": 1})


def test_no_example_is_refused(qa, tmp_path):
    with pytest.raises(ValueError, match="expected at least one example to train on, found none"):
        QATrainer(qa, 48, LABEL_MAP).train([], tmp_path / "model", 1)


def test_context_without_a_token_names_the_example(qa):
    with pytest.raises(ValueError, match=r"example 0 \(id 'empty'\): expected a context of at least one token"):
        qa.predict(make_example("empty", "\u200b", "What?"))
