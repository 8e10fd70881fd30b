"""How likely each given label is right, why it may not be, and what is right instead. None of this loads torch.

Everything follows from one posterior. Take one given answer g in the place of an unknown right answer r. Candidates for
r are the likeliest spans of the context, as long as the data's answers, and "no answer" where the data have it.

1. The choice p(r) is a conditional logit (`choice.py`): p(r) is proportional to exp(w f(r)) with the features f of
   `features.py`: out-of-fold probabilities, words of the question, form of the span. The weights w are fitted to the
   given answers of other paragraphs of the same fold, whose network has not seen g, and drawn by a ridge penalty to
   weights learned from other data.
2. An annotator marks the right answer, or makes a mistake of kind k, with shares s_0 and s_k. A mistake of kind k makes
   g from r with probability P_k(g | r) (`mistakes.py`): something else that looks like the answer, any span, the answer
   of another question, a part of r, more than r, the same text in another place, a cut inside a word.
3. So P(g) = s_0 p(g) + sum_k s_k sum_r p(r) P_k(g | r), and by Bayes' rule (`posterior.py`)

       label quality = P(g is right | g) = s_0 p(g) / P(g),
       P(r is right, by mistake k | g) = s_k p(r) P_k(g | r) / P(g).

   The shares maximise the product of all P(g), or of a sample of 5,000, under a Dirichlet prior of 300 answers of
   which 6 % are wrong; EM finds them. Then w is fitted again, each answer weighted by its label quality, so that wrong
   answers drop out of what is learned; in all three times.

Where few answers of the data cut a word, one that does, and leaves outside what others do not (`affixes.py`), is almost
surely a slip inside it: for k the cuts, p(g) becomes sum_r p(r) P_k(g | r) / 10,000, and no other kind is possible. An
example with several answers is as good as its worst one.

Where every span is labelled (`span_sites.labels_every_span`), as in data without questions, g is a given span with its
class, or nothing at an empty place: at neighbouring words without a label each of which a model finds likely, or is
labelled elsewhere, as a span of its own, more often than not. There are at most 50 more of such words than of given
spans.

1. Candidates for r are the likeliest 60 spans that overlap the place and no other given span, each as every class, and
   nothing. So the classes, and that nothing should be labelled, compete in one choice.
2. The features (`span_features.py`) are the probabilities of the classes, the form of the span, and how the same text
   is labelled in other paragraphs of the data and of the document (`memory.py`).
3. The kinds (`span_mistakes.py`) are a wrong class, a wrong border, both, a spurious span and, at empty places, a
   missing one. A cut inside a word makes p(g) a 10,000th. The shares' prior has the weight of 10,000 sites, given spans
   and empty places, of which 6 % are wrong.
4. The quality of an example is the product of those of its sites: the probability that nothing in it is wrong.

Where the answers of several people are judged (`annotators.py`), one right answer r stands for all: P(r | all) is
proportional to p(r) times the product of P(g | r) over the answers g. Each is right, wrong by one of these kinds, or
right with another border: with a learned share, P_b(g | r) is p among the spans that overlap r. Beside that, cut_short
and too_long are no mistakes. `agreement.py` says how far people agree, without the model.

The sum of 1 - label quality is the expected number of wrong labels. The reason is the likeliest kind k, the suggestion
the likeliest r other than g, of labelled spans by that kind, and its confidence P(r is right | g). Where a reviewer
said what is right, all other r drop out.

A mixture of what is right and how it is distorted is the model of Dawid and Skene (1979), "Maximum likelihood
estimation of observer error-rates using the EM algorithm", for one annotator, and with a choice among spans in place of
a few classes. What each part brings on errors that people made is measured in docs/results.md.
"""
