"""Names of columns that are usually something else than a model."""

from __future__ import annotations

import re

_NO_MODEL = re.compile(
    r"|source_row|(unnamed|index_level)_?\d+_*|(.*_)?no|serial|sn|item"
    r"|(.*_)?(q?id|idx|index|uuid|row|line|key|seed|epoch|fold|turns?|position|elo|rating)"
    r"|(.*_)?(length|len|chars|words|tok(en)?s?|usd|eur|cost|price|latency|duration|time|runtime)"
    r"|(.*_)?(elapsed|took|ms|seconds|minutes|hours|kwh|energy|ttft|tps|throughput|tok(en)?s?/s)"
    r"|(.*_)?(year|yr|month|day|date|ts|timestamp|percentile|rank|order|level|freq(uency)?|rate)"
    r"|(.*_)?(count|std|stdev|stderr|variance|conf(idence)?|prob(ability)?|logp(rob)?|p-?value)"
    r"|(latency|time|duration|runtime|elapsed|tokens|cost|price|prob|p|irt|context|ctx)_.*"
    r"|(n|num|is|has|needs|requires|contains|uses|judge|human|gold|expected|ground|ref)_.*"
    r"|nr|num|number|(created|updated|modified)(_at)?|page|batch|version|subset|temp(erature)?"
    r"|(few_?)?shots?|rep|repeat|repetition|attempt|trial|run|iter(ation)?|pos|ctx|context|mmr"
    r"|top_[pk]|max_\w+|(.*_)?(difficulty|hardness|easiness|complexity|discrimination|entropy|loss)"
    r"|(.*_)?weight(ing)?|points|(.*_|up|down)?votes?|likes|downloads|stars|popularity|importance|usage"
    r"|group|cluster|family|template|(in_)?(train|test)|val(idation)?|dev|holdout|held_out"
    r"|answer|labels?|gold|target|truth|expected|prediction|pred|choice|crowd|flag(ged)?|valid"
    r"|verified|multi_?modal|(judge|human|(inter_)?annotator|rater|grader|reviewer|expert)s?_?\d*"
    r"|average|avg|mean|median|max|min|sum|total|aggregate|overall|quality|wordcount"
    r"|((average|avg|mean|overall|total|quality|reference|sample|toxicity|similarity)_)?scores?"
    r"|(oracle|best|worst|majority|random|chance|ensemble)(_(of_\w+|vote|baseline|choice|correct))?"
    r"|best_.*|oracle_.*|(any|all|self)_(correct|right|passe?d?|solved|consistency)|consensus"
    r"|baseline|ceiling|(upper|lower)_bound|solved_by|(.*_)?(agreement|kappa|sentiment)"
    r"|acc|correct|incorrect|pass|passed|fail|failed|success|result|grade|value"
    r"|pass_?(at_)?\d+|wins?|won|em|errors?|timeouts?|truncated|refusal|refused"
    r"|(.*_)?(accuracy|faithfulness|relevancy|relevance|precision|recall|correctness|similarity)"
    r"|hard|easy|tricky|trivial|ambiguous|(un)?(answerable|solvable|safe)|harmful|adversarial|sensitive"
    r"|skip(ped)?|(in|ex)cluded?|kept|keep|selected|reviewed|checked|duplicated?|outlier|noisy"
    r"|f1|bleu|rouge.*|bertscore|exact_match|toxicity|contamination|perplexity|ppl|nll|cosine"
    r"|(.*_)?dist(ance)?|readability|flesch.*",
    re.IGNORECASE,
)
_LESS_IS_BETTER = re.compile(
    r"(hallucination|bias|toxicity|noise_sensitivity).*"
    r"|(?!no_|not_|non_|without_)(.*_)?(wer|cer|ter|loss|nll|perplexity|ppl|bits_per_byte|brier"
    r"|latency|duration|cost|errors?|mae|mse|rmse|distance)(_(rate|score|s|ms|seconds|usd))?",
    re.IGNORECASE,
)


def key_of(name: str) -> str:
    """Return a column's name as words with underscores: "Latency (s)" and "latencyS" are one."""
    if name[:1].islower():
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[\s()\[\]$%|:#@.]+", "_", name).strip("_")


def is_no_model(name: str) -> bool:
    """Say whether a column has a usual name of something else than a model."""
    return _NO_MODEL.fullmatch(key_of(name)) is not None


def less_is_better(metric: str) -> bool:
    """Say whether a metric is known by its name to be better the lower it is."""
    return _LESS_IS_BETTER.fullmatch(key_of(metric)) is not None
