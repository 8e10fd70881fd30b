"""The wrapper: its tour, prediction, training, and what is saved."""

import doctest
import json
import shutil

import numpy as np
import pytest
import torch
from conftest import make_example
from datasets import Dataset
from families import make_tokenizer
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

import spanbert
from span_label_errors.cross_validation import trainers as fold_trainer
from span_label_errors.data.squad import squad_features
from span_label_errors.model.network import load_network
from span_label_errors.model.qa import batches
from span_label_errors.model.windows import IGNORED_LABEL, QuestionCutWarning
from spanbert import QA, BertForSpanClassification, QATrainer

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


def test_tour_of_the_wrapper():
    assert doctest.testmod(spanbert).failed == 0


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


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "expected"),
    [("cpu", True, "float32"), ("cuda", True, "bfloat16"), ("cuda", False, "float32"), ("mps", True, "float32")],
)
def test_precision_is_bfloat16_where_a_gpu_has_it(tiny_bert, monkeypatch, device, has_bfloat16, expected):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: torch.device(device))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: has_bfloat16)
    assert QA(tiny_bert).precision == expected


@pytest.mark.parametrize(("batch_size", "expected"), [(5, [(5, 48)] * 9 + [(5, 17)] * 3), (None, [(42, 48), (18, 48)])])
def test_batch_of_prediction_has_a_number_of_windows_or_of_tokens(tiny_bert, batch_size, expected):
    """By hand: 105 context tokens take three windows of 48 tokens and one of 17; 2,048 tokens hold 42 of 48."""
    qa, shapes = QA(tiny_bert, max_length=48, doc_stride=8), []
    if qa.device.type != "cpu":
        pytest.skip("an accelerator takes larger batches")
    qa.model.register_forward_pre_hook(
        lambda model, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    qa.predict_batch([make_example("long", "the city . " * 35, "What is the capital?")] * 15, batch_size)
    assert shapes == expected


def test_batch_on_an_accelerator_is_bounded_by_the_pairs_of_tokens_that_attention_compares():
    """By hand: 65,536 tokens are 170 windows of 384; 384 x 65,536 pairs are 24 of 1,024, and less than one of 8,192."""
    assert [len(batch) for batch in batches([384] * 400, on_accelerator=True)] == [170, 170, 60]
    assert [len(batch) for batch in batches([1024] * 30, on_accelerator=True)] == [24, 6]
    assert list(batches([100, 8192, 8192], on_accelerator=True)) == [[1], [2], [0]]
    assert list(batches([10, 30, 20], 2, on_accelerator=True)) == [[1, 2], [0]]
    assert [len(batch) for batch in batches([1024] * 3, on_accelerator=False)] == [2, 1]


def test_precision_is_used_recorded_and_handed_on(tiny_bert, examples, tmp_path):
    qas = {precision: QA(tiny_bert, max_length=48, precision=precision) for precision in ("float32", "bfloat16")}
    with torch.no_grad():
        for qa in qas.values():
            qa.model.classifier.weight *= 10  # probabilities far apart
    exact, rounded = (np.concatenate([p.pred_probs for p in qa.predict_batch(examples)]) for qa in qas.values())
    assert exact.dtype == rounded.dtype == np.float32
    assert exact.std() > 0.05
    assert 0 < np.abs(exact - rounded).max() < 0.02
    for precision, qa in qas.items():
        trainer = QATrainer(qa, 48, LABEL_MAP)
        trainer.train(examples, tmp_path / precision, 1, **FAST)
        assert fold_trainer.settings(trainer)["precision"] == trainer.load(tmp_path / precision).precision == precision
    exact, rounded = (load_file(tmp_path / precision / "model.safetensors") for precision in qas)
    assert {weights.dtype for weights in rounded.values()} == {torch.float32}
    assert 0 < max((exact[name] - rounded[name]).abs().max().item() for name in exact) < 0.02


def test_progress_is_told_up_to_one_over_all_parts(qa, examples):
    shares = []
    qa.predict_batch(examples, batch_size=5, on_batch=shares.append)
    assert shares == [5 / 12, 10 / 12, 1.0]
    # More examples than are tokenized at once.
    many, shares = [{**examples[index % 12]} for index in range(1100)], []
    predictions = qa.predict_batch(many, on_batch=shares.append)
    assert len(predictions) == 1100 and shares == sorted(shares) and shares[-1] == 1.0
    np.testing.assert_allclose(predictions[1090].pred_probs, predictions[10].pred_probs, atol=1e-5)
    many[1090]["question"] = " "
    with pytest.raises(ValueError, match=r"example 1090 \(id '5a'\)"):
        qa.predict_batch(many)


# --- loss ---------------------------------------------------------------------------------------


def test_loss_is_the_mean_over_the_labels_that_count(qa):
    network = load_network(qa.checkpoint, LABEL_MAP, seed=0).eval()
    labels = torch.full((2, 6, 2), float(IGNORED_LABEL))
    labels[0, 3], labels[1, 4] = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    input_ids = torch.arange(12).reshape(2, 6)
    with torch.no_grad():
        output = network(input_ids, labels=labels)
        of_eight = network(input_ids, labels=labels, num_counted=8).loss.item()
    p, q = torch.sigmoid(output.logits[0, 3]), torch.sigmoid(output.logits[1, 4])
    total = -((1 - p[0]).log() + p[1].log() + q[0].log() + (1 - q[1]).log()).item()
    assert (output.loss.item(), of_eight) == (pytest.approx(total / 4, rel=1e-5), pytest.approx(total / 8, rel=1e-5))


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


def test_training_learns_its_examples(qa, examples, tmp_path):
    report = QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 40, learning_rate=3e-3, dropout=0.0)
    assert report.loss_history[-1][1] < report.loss_history[0][1] / 4
    for prediction in QA(tmp_path / "model").predict_batch(examples):
        context = prediction.context_only()
        np.testing.assert_array_equal(context.pred_probs > 0.5, context.labels.astype(bool))


def test_training_starts_from_the_checkpoint_a_head_of_the_seed_and_the_base_rate(qa, examples, tmp_path):
    QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1, learning_rate=0.0, seed=3)
    trained = QA(tmp_path / "model").model.state_dict()
    for name, start in load_network(qa.checkpoint, LABEL_MAP, seed=3).state_dict().items():
        if name != "classifier.bias":
            assert torch.equal(trained[name].cpu(), start), name
    # By hand: a context has 22 tokens, a city is one of them, a year four; each is asked for six times.
    log_odds = np.log(30 / (264 - 30))
    np.testing.assert_allclose(trained["classifier.bias"].cpu(), [-log_odds, log_odds], rtol=1e-5)


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
    trainer.train([example], tmp_path / "model", 1)
    reloaded = QA(tmp_path / "model")
    assert reloaded.answers == answers
    assert reloaded.predict(example).context_only().labels[:, 1].tolist() == labels


@pytest.fixture
def sentence_encoder(tiny_bert, tmp_path):
    """The tiny BERT as an encoder of single texts, with a second segment that differs much from the first."""
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_bert, folder)
    (folder / "modules.json").write_text("[]")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.token_type_embeddings.weight"][1] += torch.linspace(-1, 1, 32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def spans_in(*contexts: str) -> list[dict]:
    return [make_example(str(number), context, "", "paris") for number, context in enumerate(contexts)]


def probs_of(qa: QA, *contexts: str, question: str = "") -> list[np.ndarray]:
    examples = [make_example("1", context, question) for context in contexts]
    return [prediction.context_only().pred_probs for prediction in qa.predict_batch(examples, 1)]


def test_model_trained_without_questions_reads_the_case_and_when_it_is_loaded_again(sentence_encoder, tmp_path):
    trainer = QATrainer(QA(sentence_encoder, max_length=48), 48, LABEL_MAP)
    trainer.train(spans_in("the man in paris", "London and paris"), tmp_path / "model", 1, **FAST)
    assert json.loads((tmp_path / "model" / "spanbert.json").read_text())["case_as_segment"] is True
    trained = QA(tmp_path / "model")
    small, capital, again = probs_of(trained, "the man in paris", "the man in Paris", "the man in paris")
    assert np.array_equal(small, again)
    assert np.abs(small - capital).max() > 1e-3
    # As the network reads it: [CLS] the man in Paris [SEP].
    ids = trained.tokenizer("the man in paris", return_tensors="pt")["input_ids"].to(trained.device)
    with torch.inference_mode():
        logits = trained.model(ids, token_type_ids=torch.tensor([[0, 0, 0, 0, 1, 0]], device=ids.device)).logits
    np.testing.assert_allclose(capital, torch.sigmoid(logits[0, 1:5]).cpu(), atol=1e-6)

    # Trained on, and as it is.
    on = QATrainer(trained, 48, LABEL_MAP)
    on.train(spans_in("the man in paris"), tmp_path / "next", 1, learning_rate=0.0)
    for qa in (QA(tmp_path / "next"), on.start()):
        assert np.array_equal(probs_of(qa, "the man in Paris"), [capital])


@pytest.mark.parametrize(("with_questions", "trained"), [(False, {"token_type_embeddings"}), (True, set())])
def test_segments_that_show_the_case_are_trained_below_frozen_layers(
    sentence_encoder, tmp_path, with_questions, trained
):
    question = "Where" if with_questions else ""
    data = [make_example("1", "London and paris", question, "paris")]
    qa = QA(sentence_encoder, max_length=48)
    QATrainer(qa, 48, LABEL_MAP).train(data, tmp_path / "model", 1, frozen_layers=1, **FAST)
    before, after = (weights.model.base_model.embeddings.state_dict() for weights in (qa, QA(tmp_path / "model")))
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == trained


@pytest.mark.parametrize("without", ["the data", "the tokenizer", "the segment", "the training"])
def test_case_is_no_segment_without(without, sentence_encoder, tmp_path, examples):
    data = examples if without == "the data" else spans_in("the man in paris", "London and paris")
    if without == "the tokenizer":
        make_tokenizer("bert", lowercase=False).save_pretrained(sentence_encoder)
        file = sentence_encoder / "config.json"
        config = json.loads(file.read_text())
        config["vocab_size"] = len(make_tokenizer("bert", lowercase=False))
        BertModel(BertConfig(**config), add_pooling_layer=False).save_pretrained(sentence_encoder)
    if without == "the segment":
        config = BertConfig.from_pretrained(sentence_encoder, type_vocab_size=1)
        BertModel(config, add_pooling_layer=False).save_pretrained(sentence_encoder)
    trainer = QATrainer(QA(sentence_encoder, max_length=48), 48, LABEL_MAP)
    trainer.train(data, tmp_path / "model", 1, **FAST)
    settings = tmp_path / "model" / "spanbert.json"
    if without == "the training":
        # As a model has none that was trained before there was such a setting.
        settings.write_text(json.dumps({"max_length": 48, "doc_stride": 16, "answers": "all"}))
    assert set(json.loads(settings.read_text())) == {"max_length", "doc_stride", "answers"}
    trained = QA(tmp_path / "model")
    if without != "the tokenizer":
        assert np.array_equal(*probs_of(trained, "the man in paris", "the man in Paris"))
    assert trained.model.one_segment == (without != "the training")


def test_half_precision_checkpoint_is_read_in_float32(tiny_bert, tmp_path):
    """from_pretrained would take the checkpoint's own precision."""
    shutil.copytree(tiny_bert, tmp_path, dirs_exist_ok=True)
    BertModel.from_pretrained(tiny_bert, add_pooling_layer=False).half().save_pretrained(tmp_path)
    assert {weights.dtype for weights in QA(tmp_path).model.parameters()} == {torch.float32}


def test_several_classes_overlap(tiny_bert, tmp_path):
    label_map = {"O": 0, "PER": 1, "LOC": 2}
    example = make_example("1", "The man in Paris was in Rome.", "Who and where?", "The man in Paris", "Paris")
    example["answers"]["label"] = ["PER", "LOC"]
    qa = QA(tiny_bert, label_map=label_map, max_length=48, answers="all")
    labels = qa.predict(example).context_only().labels
    assert labels.T.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]
    QATrainer(qa, 48, label_map).train([example], tmp_path / "model", 1)
    assert QA(tmp_path / "model").predict(example).pred_probs.shape[1] == 3


def test_training_on_starts_from_the_trained_head_and_remembers_what_was_seen(trained, examples, tmp_path):
    examples[0]["context"] = "The capital is Paris."
    generated = (example for example in examples[:2])
    QATrainer(QA(trained), 48, LABEL_MAP).train(generated, tmp_path / "next", 1, learning_rate=0.0)
    before, after = (QA(folder).model.state_dict() for folder in (trained, tmp_path / "next"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(fold_trainer.seen_contexts(QATrainer(QA(tmp_path / "next"), 48, LABEL_MAP))) == 7


def test_question_that_is_cut_is_counted(qa, examples, tmp_path):
    with pytest.warns(QuestionCutWarning, match=r"1 of 13 questions .* first is example 12 \(id '0a'\)"):
        report = QATrainer(qa, 48, LABEL_MAP).train(
            [*examples, {**examples[0], "question": "what " * 30}], tmp_path / "model", 1
        )
    assert report.num_questions_cut == 1


def test_windows_have_the_length_that_the_trainer_was_given(tiny_bert, tmp_path):
    context = " ".join(["paris london rome berlin oslo"] * 16)  # 80 tokens
    qa = QA(tiny_bert, max_length=48, doc_stride=16)
    assert [QATrainer(qa, length, LABEL_MAP).doc_stride for length in (48, 63, 36)] == [16, 16, 12]
    report = QATrainer(qa, 28, LABEL_MAP).train([make_example("1", context, "What is it?", "rome")], tmp_path / "m", 1)
    # By hand: 28 - 3 - 5 question tokens leave 20, which advance by 20 - 28 // 3 = 11: 0, 11, ... 66.
    assert (report.num_windows, report.num_questions_cut) == (7, 0)
    found = [QA(tmp_path / "m", max_length=length) for length in (None, 28, 48)]
    assert [(qa.max_length, qa.doc_stride) for qa in found] == [(28, 9), (28, 9), (48, 16)]


# --- what goes wrong ----------------------------------------------------------------------------


def test_model_that_cannot_be_saved_whole_leaves_no_folder(qa, examples, tmp_path, monkeypatch):
    def fail(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(qa.tokenizer), "save_pretrained", fail)
    with pytest.raises(OSError, match="No space left"):
        QATrainer(qa, 48, LABEL_MAP).train(examples, tmp_path / "model", 1)
    assert not (tmp_path / "model").exists()


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


def test_checkpoint_predicts_as_it_is_with_the_windows_answers_and_precision_of_the_trainer(trained):
    qa = QA(trained, doc_stride=3, answers="all", precision="bfloat16")
    assert qa.has_head
    model = QATrainer(qa, 15, LABEL_MAP).start()
    assert (model.max_length, model.doc_stride, model.answers, model.precision) == (15, 3, "all", "bfloat16")
    assert (model.fingerprint, model.label_map) == (qa.fingerprint, LABEL_MAP)
    assert model is not qa


def test_checkpoint_that_cannot_predict_as_it_is_is_refused(qa, trained):
    assert not qa.has_head
    with pytest.raises(ValueError, match=r"found one without a head for the classes O, ANS; train .* num_splits=3, or"):
        QATrainer(qa, 48, LABEL_MAP).start()
    trainer = QATrainer(QA(trained), 48, LABEL_MAP)
    (trained / "model.safetensors").write_bytes(weights_of(trained) + b" ")
    with pytest.raises(ValueError, match="the checkpoint changed since"):
        trainer.start()


def test_model_of_other_labels_is_refused(trained):
    with pytest.raises(ValueError, match=r"expected the label map \{'O': 0, 'PER': 1\}, found a model trained with"):
        QA(trained, label_map={"O": 0, "PER": 1})
    with pytest.raises(ValueError, match="expected the label map"):
        QATrainer(QA(trained), 48, {"O": 0, "PER": 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answers": "bogus"}, 'answers: expected "first", "all" or "each", found \'bogus\''),
        ({"label_map": {}}, "label_map: expected 'O' and at least one span class"),
        ({"max_length": 0}, "max_length: expected at least 5, found 0"),
        ({"max_length": 65}, "max_length: expected at most 64, the positions that the model has, found 65"),
        ({"doc_stride": 31}, "doc_stride: expected 0 to 30 for max_length=64"),
        ({"precision": "bf16"}, "precision: expected one of 'auto', 'float32', 'bfloat16', found 'bf16'"),
    ],
)
def test_wrong_options_are_refused_and_not_replaced(tiny_bert, options, message):
    with pytest.raises(ValueError, match=message):
        QA(tiny_bert, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train_epochs": 0}, "num_train_epochs: expected a number above 0, found 0"),
        ({"head_learning_rate": 0.0}, "head_learning_rate: expected a number above 0 or None"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 to below 1 or None, found 1.0"),
        ({"frozen_layers": 3}, "frozen_layers: expected 0 to 2, the layers of the model, found 3"),
        ({"dataset": []}, "expected at least one example to train on, found none"),
        ({"dataset": [{"id": "7", "context": None, "question": "?"}]}, r"example 0 \(id '7'\): expected 'context'"),
    ],
)
def test_wrong_arguments_of_training_are_refused_and_nothing_is_left(qa, examples, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        QATrainer(qa, 48, LABEL_MAP).train(**{"dataset": examples, "output_dir": tmp_path / "model", **options})
    assert list(tmp_path.iterdir()) == []


def test_windows_of_other_sizes_are_refused(qa, examples):
    with pytest.raises(ValueError, match="max_length: expected at most 64, the positions that the model has, found 65"):
        QATrainer(qa, 65, LABEL_MAP)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, or None, found 0"):
        qa.predict_batch(examples, batch_size=0)
