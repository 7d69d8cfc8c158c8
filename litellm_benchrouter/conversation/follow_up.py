"""Follow-ups: short texts that only make sense after the answer before them."""

from __future__ import annotations

import re

from litellm_benchrouter.conversation.wording import is_complaint

_LONGEST = 42  # characters of a text that only reacts to the answer before it
_LONGEST_REACTION = 100  # ... of one that says the answer is wrong
_REACTION = 12  # ... although it asks: "why?"
_FEWEST_WORDS = 3  # of a task that stands by itself
_QUESTION = re.compile("[?\uff1f\u061f\u037e\u2e2e\u055e\u1367]")
_WIDE = re.compile(
    "[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uff9f]"
)
# A task that names its own object, as "write a haiku about rain": what is to be made, and no word
# that points at the answer before. First where the verb comes first, then where it comes last.
_FILLER = re.compile(
    r"(?:(?:ok|okay|thanks|please|now|next|and|then|danke|bitte|jetzt|nun|por favor|agora|ahora|"
    r"gracias|obrigad[ao]|merci|maintenant|теперь|спасибо|пожалуйста|الآن|شكراً)[ ,.!]+)+",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"(?:write|compose|draft|translate|explain|define|describe|compare|calculate|compute|solve|"
    r"convert|recommend|suggest|give|name|tell|list|draw|plan|invent|prove|recite|who|what|when|where|which|how|"
    r"schreib\w*|verfass\w*|übersetz\w*|erklär\w*|berechne|beschreib\w*|nenn\w*|vergleich\w*|wer|"
    r"was|wann|wo|gib|écri[st]\w*|rédige\w*|traduis\w*|traduire|explique\w*|calcul\w*|décri\w*|"
    r"cite\w*|donne\w*|propose\w*|quel\w*|dame|escrib\w*|traduc\w*|explica\w*|define|describe|cuál|qué|quién|escrev\w*|"
    r"traduz\w*|descrev\w*|qual|quem|scriv\w*|traduci|spiega\w*|descrivi|schrijf|vertaal|leg|"
    r"напиши\w*|переведи\w*|объясни\w*|вычисли\w*|опиши\w*|придума\w*|назови\w*|кто|где|когда|"
    r"napisz|przetłumacz|wyjaśnij|اكتب|ترجم|اشرح|احسب|عرّف|اذكر|من هو|ما هي|ما هو)\b",
    re.IGNORECASE,
)
_TASK_WIDE = re.compile(
    r"^(?:请|請|现在|帮我|给我|再)*(?:写|寫|翻译|翻譯|解释|解釋|计算|計算|介绍|介紹|列出|推荐|什么是|谁是)"
    r"[^它这那其他她這該]{3,}|(?:を|について).{0,8}(?:書いて|訳して|説明して|計算して|教えて|作って)|"
    r"(?:을|를|에 대해|에 관한).{0,8}(?:써|번역|설명|계산|알려|만들어)"
)
_TASK_LAST = re.compile(
    r"\b(?:yaz|yazın|çevir|açıkla|anlat|hesapla|tanımla)\W*$|(?:लिखो|लिखें|लिखिए|समझाओ|समझाइए|बताओ|बताइए)\W*$",
    re.IGNORECASE,
)
_POINTS_BACK = re.compile(
    r"\b(?:it|that|this|them|they|these|those|again|more|else|instead|rest|next|other|another|"
    r"above|before|same|shorter|longer|simpler|better|left|further|too|first|second|last|"
    r"das|dies\w*|nochmal|noch|mehr|weiter|anders|kürzer|länger|rest|obige\w*|"
    r"ça|cela|ceci|encore|plus|autre\w*|suite|reste|mieux|"
    r"lo|eso|esto|otra|otro|más|menos|resto|isso|isto|outra|outro|mais|de novo|"
    r"lo|questo|quello|ancora|più|het|dit|dat|nog|meer|"
    r"это|его|её|их|ещё|еще|снова|заново|другой|другую|дальше|больше|короче|остальное|"
    r"jeszcze|więcej|bunu|onu|şunu|tekrar|daha|yine)\b|-(?:la|le|lo|les|los|las)\b|"
    r"هذا|ذلك|مرة|أخرى|أكثر|المزيد|الباقي|ها\b|इसे|उसे|यह|वह|फिर|दोबारा|और|もう|続き|他|それ|これ|"
    r"다시|더|그것|이것|계속|나머지|一遍|一次|一下|继续|更|另",
    re.IGNORECASE,
)


def is_follow_up(text: str) -> bool:
    """Say whether a text reacts to the answer before it and asks for nothing of its own."""
    if len(text) > _LONGEST or "\n" in text:
        return len(text) <= _LONGEST_REACTION and "\n" not in text and is_complaint(text)
    length = len(text) + 2 * len(_WIDE.findall(text))
    if _QUESTION.search(text):
        return length <= _REACTION and not any(character.isdigit() for character in text)
    return length <= _LONGEST and not _is_task(text)


def _is_task(text: str) -> bool:
    """Say whether a short text is a task that stands by itself."""
    filler = _FILLER.match(text)
    text = text[filler.end() :] if filler else text
    if _POINTS_BACK.search(text):
        return False
    if _TASK_WIDE.search(text):
        return True
    is_told = _TASK.match(text) or _TASK_LAST.search(text)
    return is_told is not None and len(text.split()) >= _FEWEST_WORDS
