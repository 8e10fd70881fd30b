"""How labels are to be read, as the data say."""

import pytest

from span_label_errors.data.labelling import labelling_of


def test_class_that_means_no_span_is_refused():
    row = {"question": "", "answers": {"text": ["a", "b"], "answer_start": [0, 2], "label": ["PER", "O"]}}
    with pytest.raises(ValueError, match=r"expected classes of spans, found \['O', 'PER'\]: 'O' means"):
        labelling_of([row])
