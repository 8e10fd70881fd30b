"""Whether a tokenizer can read the data, and what is said if it cannot."""

import warnings

import pytest
from conftest import make_example, twelve_examples
from families import make_tokenizer

from span_label_errors.cross_validation.out_of_fold import out_of_fold_predictions
from span_label_errors.model.tokenizer_coverage import UnreadableDataWarning, read_shares, warn_if_unreadable
from span_label_errors.model.windows import QuestionCutWarning, tokenize_examples
from spanbert import QA, QATrainer

LABEL_MAP = {"O": 0, "ANS": 1}
ENGLISH = "In 1889 the river Seine (which is 777 km long) froze; people said: “It’s colder than ever – C’est la vie!”"
READABLE = {
    "English": ENGLISH,
    "English with pictures": f"{ENGLISH} {ENGLISH} It was great 😀 at #Oslo ❤️ x² ≥ 0 → 5 µs €20.",
    "French": "L’œuvre de François, où l’été naïf — « garçon » — hélas; cœur, ça, Noël, déjà-vu",
    "German": "Die Straße führt über die große Brücke; Größe, Äpfel, Öl, Übermaß, weiß.",
    "Polish": "Zażółć gęślą jaźń. Marie Skłodowska-Curie urodziła się w Warszawie; źródło: Łódź.",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Turkish": "İstanbul'un nüfusu ışıl ışıl değişiyor; çağdaş öğrenciler, Iğdır'dan geldi.",
    "Icelandic": "Það var maður sem hét Þórður og átti heima á Íslandi; æðardúnn.",
    "Vietnamese": "Thành phố Hà Nội là thủ đô của nước Cộng hòa xã hội chủ nghĩa Việt Nam, được Đảng lãnh đạo.",
    "accents apart": "Un cafe\u0301 noir, s\u030cvestka, A\u030angstro\u0308m",
}
UNREADABLE = {
    "Thai": "สมชายเกิดที่จังหวัดเชียงราย เมื่อปี2460 ทำงานเป็นครูสอนดนตรีไทยในโรงเรียน",
    "Amharic": "አበበ በ 1901 ዓ.ም. በ ጎንደር ተወለደ ። ሥራው ሐኪም ነበር ።",
    "Georgian": "თბილისი არის საქართველოს დედაქალაქი.",
    "Chinese": "北京是中华人民共和国的首都，位于华北平原。",
    "Russian": "Город был основан в 1703 году и стоит на берегу реки.",
    "Greek": "Η πόλη βρίσκεται στις όχθες του ποταμού.",
    "Hebrew": "העיר נמצאת על גדת הנהר והיא עתיקה מאוד.",
    "Arabic": "تقع المدينة على ضفة النهر وهي قديمة جدا.",
    "Hindi": "यह नगर नदी के किनारे बसा है और बहुत पुराना है।",
}


def shares_of(tokenizer, examples: list[dict], **options):
    tokenized = tokenize_examples(tokenizer, examples, LABEL_MAP, max_length=256, **options)
    return read_shares(examples, tokenized, tokenizer.unk_token_id, LABEL_MAP, **options)


@pytest.mark.parametrize("language", [*READABLE, *UNREADABLE])
def test_embedded_tokenizer_reads_the_languages_of_europe_and_knows_what_it_cannot_read(language, embedded_tokenizer):
    text = {**READABLE, **UNREADABLE}[language]
    whole_words = text.split()[0].strip(".,;:’")
    examples = [make_example(str(number), f"{text} {number}", text, whole_words) for number in range(30)]
    assert shares_of(embedded_tokenizer, examples).is_readable == (language in READABLE)


def test_shares_by_hand(tiny_tokenizer):
    """The tiny BERT knows Latin letters only; a word with another one is unknown as a whole."""
    examples = [
        # 3 + 4 + 3 characters, of which 3 are unknown, and 4 + 1 of the question.
        make_example("a", "the city Ωab", "when ?", "city"),
        make_example("b", "the city Ωab", "Ωabc d", "cit"),
        # 5 + 5 characters.
        make_example("c", "river paris", "when ?", "aris", "river"),
    ]
    first = shares_of(tiny_tokenizer, examples)
    # Equal contexts and questions count once: 3 of 10 and 10, 4 of 5 and 5. "city" is one token, and "paris" another.
    assert first == pytest.approx((3 / 20, 4 / 10, 0, 2 / 3, 3))
    assert shares_of(tiny_tokenizer, examples, answers="all") == pytest.approx((3 / 20, 4 / 10, 0, 2 / 4, 4))
    assert not first.is_readable


def test_words_that_are_read_letter_by_letter_by_hand(tiny_tokenizer):
    """ "zab" is z ##a ##b; of the other words, "q" has one letter and "12" none; "books" is book ##s."""
    examples = [make_example("a", "the zab, q 12 books", "when ?", "the")]
    assert shares_of(tiny_tokenizer, examples).spelled_words == 1 / 4
    spelled = [make_example("a", "zab the " + "zab " * number, "when ?", "the") for number in (0, 1)]
    assert not any(shares_of(tiny_tokenizer, [example]).is_readable for example in spelled)
    assert shares_of(tiny_tokenizer, [make_example("a", "zab zab the the city", "when ?", "the")]).is_readable  # 2 of 5


def test_unknown_characters_or_wide_answers_beyond_the_bar_are_unreadable(tiny_tokenizer):
    def is_readable(num_words: int, num_cut: int, num_answers: int) -> bool:
        context = "the " * num_words + "ΩΩΩ city"
        answers = ["cit"] * num_cut + ["city"] * (num_answers - num_cut)
        examples = [make_example(str(i), context, "when ?", answer) for i, answer in enumerate(answers)]
        return shares_of(tiny_tokenizer, examples).is_readable

    assert is_readable(8, 0, 20)  # 3 of 31 characters
    assert not is_readable(6, 0, 20)  # 3 of 25
    assert is_readable(20, 5, 20)  # a quarter of the answers
    assert not is_readable(20, 6, 20)
    assert is_readable(20, 19, 19)  # too few answers to say so


def test_of_many_examples_evenly_spaced_ones_are_measured(tiny_tokenizer):
    contexts = ["the city", "the ΩΩΩΩ"] * 1000  # 7 characters each
    examples = [make_example(str(i), context, "when ?", "the") for i, context in enumerate(contexts)]
    assert shares_of(tiny_tokenizer, examples)[:1] == (0,)
    assert shares_of(tiny_tokenizer, examples[:-1]) == pytest.approx((4 / 14, 0, 0, 0, 1999))


def test_tokenizer_that_knows_all_bytes_reads_every_script():
    examples = [make_example("a", UNREADABLE["Thai"], "?", "สมชาย"), make_example("b", ENGLISH, "When?", "1889")]
    assert shares_of(make_tokenizer("eurobert"), examples)[:2] == (0, 0)


def test_question_is_measured_as_far_as_it_is_read(tiny_tokenizer):
    """In a window of 10, a question has 3 tokens; the second question has none at all."""
    questions = ["Ω ΩΩ the city is the capital", "\u200b"]
    examples = [{"id": str(i), "context": "the city", "question": question} for i, question in enumerate(questions)]
    with pytest.warns(QuestionCutWarning):
        tokenized = tokenize_examples(tiny_tokenizer, examples, LABEL_MAP, max_length=10)
    shares = read_shares(examples, tokenized, tiny_tokenizer.unk_token_id, LABEL_MAP)
    assert shares == (0, 3 / 6, 0, 0, 0)


def test_warning_says_the_shares_and_what_would_read_the_data(tiny_tokenizer):
    examples = [
        make_example(str(i), "the city Ωab", "when ?", answer) for i, answer in enumerate(["cit"] * 9 + ["city"] * 11)
    ]
    with pytest.warns(UnreadableDataWarning) as caught:
        assert warn_if_unreadable(shares_of(tiny_tokenizer, examples), "some/bert")
    (text,) = {str(warning.message) for warning in caught}
    assert "'some/bert' cannot read this data: 30% of the characters of the contexts, and 0% of those of" in text
    assert "0% of the words are read letter by letter; and of 45% of the answers the tokens hold more" in text
    assert 'trained on many, such as "FacebookAI/xlm-roberta-base", or on this one' in text


@pytest.mark.parametrize("num_splits", [2, 0])
def test_run_warns_once_and_goes_on(num_splits, tiny_reader, tmp_path):
    examples = [
        {**example, "context": example["context"].replace("The man was", "Ο άνθρωπος ήταν"), "question": "Πού;"}
        for example in twelve_examples()
    ]
    for example in examples:
        answers = example["answers"]
        answers["answer_start"] = [example["context"].index(text) for text in answers["text"]]
    trainer = QATrainer(QA(tiny_reader), 48, LABEL_MAP)
    options = {"folds_dir": tmp_path / "folds", "num_splits": num_splits, "log": lambda line: None, "n_jobs": 1}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.train(examples[:4], tmp_path / "trial", 1)
        folds = out_of_fold_predictions(examples, trainer, num_train_epochs=1, **options)
    assert [w.category for w in caught if issubclass(w.category, UnreadableDataWarning)] == [UnreadableDataWarning]
    assert len(folds.predictions) == 12


def test_part_of_readable_data_that_one_fold_trains_on_is_not_warned_of(tiny_reader, tmp_path):
    """One context in six is Greek: 9 % of all characters, a fifth of those that one fold trains on."""
    examples = [{**example, "question": "Who?", "answers": None} for example in twelve_examples()]
    for example in examples[:2]:
        example["context"] = "Ω" * 30
    trainer = QATrainer(QA(tiny_reader), 48, LABEL_MAP)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnreadableDataWarning)
        out_of_fold_predictions(
            examples, trainer, num_splits=2, shuffle=False, folds_dir=tmp_path / "folds", log=lambda line: None,
            n_jobs=1, num_train_epochs=1,
        )  # fmt: skip
    with pytest.warns(UnreadableDataWarning, match="(19|20|21)% of the characters of the contexts"):
        QATrainer(trainer.qa, 48, LABEL_MAP).train(examples[:6], tmp_path / "model", 1)


def test_run_that_can_be_read_does_not_warn(tiny_reader, tmp_path):
    trainer = QATrainer(QA(tiny_reader), 48, LABEL_MAP)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnreadableDataWarning)
        trainer.train(twelve_examples(), tmp_path / "model", 1)
