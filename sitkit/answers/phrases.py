"""The turns of phrase by which a text chooses, denies, explains or lists the options of a question."""

from __future__ import annotations

import re

QUICK = re.compile(r"(?:\b(?:The answer is|It is) \(?([A-Z])(?:\)[^.()\n]{0,80})?|^[(\"']?([A-Za-z])[)\"']?)\.?$")
# These and what `sitkit.answers.text` looks for are searched in lower case: ignoring case costs five times as much. So
# does trying each way to begin at each place, which the letters that come first spare.
MARKER = re.compile(
    r"(?=[\\#iwsracbfp])(?:(?P<boxed>\\boxed\s?\{)|(?P<hash>####)"
    r"|\b(?:is|would be|seems|remains) (?!(?:the )?(?:right|correct) if\b)"
    r"(?P<back>(?:clearly |therefore |thus |most likely |probably )?"
    r"(?:the |our |my )?(?:only |most |single )?(?:\w{1,12} )?"
    r"(?:correct|right|best|answer|choice|suitable|appropriate|likely|plausible|logical)\b)"
    r"|\b(?:(?<!to )answers?|(?:correct|best|right|final) (?:option|choice|one))\b"
    r"(?:[^.:\n]{0,60}?\b(?:is|be|was|are)\b|[^.:\n]{0,40}?:|\s*\n)"
    r"|\bi(?:'d| would| will|'ll)? (?:choose|pick|select|go with|say|conclude)\b"
    r"|\b(?:choose|pick|select) (?:option|choice|answer)\b)"
)
CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|in conclusion|given|considering|overall|in summary|finally|leaves?|leaving|"
    r"consequently|based on)\b"
)
DENIED_BEFORE = re.compile(
    r"(?:\bnot|(?<=\bcan)not(?= (?:possibly )?be )|n't|\binstead of|\bneither|\bnor|(?<!out everything )\bexcept|"
    r"n't think(?: that)? it(?:'s| is)|\bunlike|\bthan|\brule[sd]? out|\beliminate[sd]?|\bover)"
    r"(?: (?:be|a|an|the|option|choice|answer|either|likely|just|simply|possibly))*[\s:(\"']*$",
    re.IGNORECASE,
)
DENIED_AFTER = re.compile(
    r"[\s)\"':,]*(?:(?:is|are|was|would be|seems) (?:clearly |also |definitely )?"
    r"(?:not\b|wrong|incorrect|false|irrelevant|unlikely|impossible|ruled out)"
    r"|isn't|aren't|wasn't|can't|cannot|won't|doesn't|does not|can be (?:ruled out|eliminated))",
    re.IGNORECASE,
)
DENIAL = re.compile(r"not|n't|instead of|neither|nor|except|unlike|than|rule|eliminate|over")
"""What `DENIED_BEFORE` starts with, in lower case."""

OR_DENIED = re.compile(r"[)\]\"']{0,2}(?:,? n?or |, )(?:also |either |the )?(?:option |choice |answer )?[(\"']?")
"""Between two options of which a word before the first denies both, if "or" or "nor" stands before the last."""

GOES_ON = re.compile(r"[)\]\"']{0,2} (?:is|are|can|could|may|might|must|seems?|would|should|fits?|works?)\b")
"""After "not A, B or C": what was taken for a list says something of its end, so the denial is of the first alone."""

MAY_DENY = re.compile(
    r"not|n't|nor|instead|neither|except|unlike|than|rule|eliminat|over|wrong|incorrect|false|irrelevant|impossible"
)
"""Whatever denies an option holds one of these; looking for them once spares most texts two searches a mention."""

AGREES = re.compile(r"\b(?:yes|correct|true|right)\b|✓|✔|✅", re.IGNORECASE)
DISAGREES = re.compile(r"\b(?:no|not|incorrect|wrong|false|isn't|doesn't|cannot|can't)\b|✗|✘|❌", re.IGNORECASE)
NONE_OF_THEM = re.compile(
    r"\bnone of (?:the|these|those)\b|\bneither of\b|\bno (?:correct|right) (?:answer|option)\b", re.I
)

# What a match starts with comes first, what must not stand before it after: so the engine skips to it, twice as fast.
PARENTHESISED = re.compile(r"\)(?<=([A-Za-z])\))(?<![A-Za-z0-9'][A-Za-z]\))")
NAMED = re.compile(r"(?:option|choice|letter|answer)(?<!\w[a-z]{6})s? ?:? ?[\"']?(?:([b-z])\b(?!')|(a)\b)")
BARE = re.compile(r"([A-Z])(?<![A-Za-z0-9'.&/-][A-Z])(?![A-Za-z0-9'&/-]|\.[A-Za-z])")
QUOTED = re.compile(r"'([A-Z])'(?<![A-Za-z0-9]'[A-Z]')(?![A-Za-z0-9])")
ANNOUNCED = re.compile(
    r"(?:\b(?:answers?|(?:correct|best|right|final|only) (?:option|choice|one|letter))\b"
    r"(?:[^.:\n']{0,60}?\b(?:is|be|was|are)\b|[^.:\n']{0,40}?:|\s*\n)"
    r"|\bi(?:'d| would| will|'ll)? (?:choose|pick|select|go with|say|conclude)\b"
    r"|\b(?:choose|pick|select|(?:option|choice|answer)(?= '))\b"
    r"|(?:^|[.,;:!?\n] ?|\b(?:so|therefore|thus|hence),? )it(?: is|'s| must be| should be| has to be))"
    r"[\s:({\[=>]{0,6}(?:(?:not|either|neither|both|clearly|definitely|most|likely|probably|therefore|thus|the|option|"
    r"choice|letter|answer)[ ,:]{1,2}){0,4}'"
    r"(?=[a-z]'(?:(?! ?[a-z])| (?:because|since|as|for|but|or|and|nor|not|rather|instead|which)\b))"
)
"""What stands before a letter in single quotes, the quote included, in lower case, where the letter is an option's."""

CALLED_RIGHT = re.compile(
    r" is (?:clearly )?(?:the |our |my )?(?:only |best |final )?(?:(?:correct|right) )?"
    r"(?:correct|right|best|answer|option|choice|one)(?=[.,;!\n]|$| (?:because|since|as)\b)"
)
WORD_AFTER = re.compile(r"[ ](?!(?:is|because|since|and|or|but|as|for|would|seems|was|not|over|fits)\b)[a-z]")
LOWER_ALONE = re.compile(r"[\s:*\"'{]*([a-z])(?=\s*(?:[.,;!}\"':]|$|\n))")
ITEM = re.compile(r"(?:^|\n)[\s>*-]*\(?([A-Za-z])[).:](?=\s)")

EXPLANATION = re.compile(r"\b(?:Explanation|Reason|Reasoning|Rationale|Why|Because|because|since)\b")
EXPLAINED = re.compile(
    r"[)\]}\"' ]{0,4}(?:$|\n|[.!](?=\s|$)|[,;:-]? ?(?:because|since|as it|as the)\b"
    r"|[,;:-]? ?(?:Explanation|Reason|Reasoning|Rationale|Why|Because|Since)\b)"
)
LETTER_STOP = re.compile(r"[(\[\"']?[A-Za-z][)\]\"']?\.(?=\s)")
ITEM_END = re.compile(r"[).:]|\s*(?:\n|$)")
ITEM_START = re.compile(r"\(?[A-Za-z][).:](?=\s)")
FORM_BEFORE = re.compile(
    r"(?:^|[.,;:!?\n-]|\b(?:it's|is|be|been|mean|meant|choose|pick|say|so|to|that|now|no|wait|actually|sorry))"
    r"[\s,]{0,3}(?:(?:no|wait|so|actually|rather|but|then|and|instead|it's|option|choice|letter|answer|the)[\s,:]{1,3}){0,4}"
    r"[(\[\"']?$"
)
FORM_AFTER = re.compile(
    r"[)\]\"']{0,2}\s?(?:$|[.,;:!?}\n]|(?:is|was|would be|seems|looks) (?:actually |clearly |the |a )?"
    r"(?:better|best|correct|right|answer|more)\b|because\b|since\b|instead\b|after all\b|then\b|not\b|rather than\b)"
)
THEREFORE = re.compile(
    r"(?:^|[.,;:!?\n] ?)(?:so|therefore|thus|hence),? (?:(?:it|this|that) (?:is|must be|should be|has to be) |it's )?"
    r"(?:option |choice |letter )?[(\"']?$"
)
LAST_CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|in conclusion|overall|in summary|finally|leaves?|leaving|consequently|only|"
    r"the one|works|fits|best|correct|right|(?:it|this|that|they|these) (?:is|are|was|(?:must|would|should|has to) be)|"
    r"it's)\b"
)
OR = re.compile(
    r"[)\]\"']{0,2}(?:\s?[,/&]\s?(?:or |and )?| (?:or|and|and/or) )"
    r"(?:also |maybe |perhaps |possibly |either |option |choice |answer )?[(\"']?"
)
SEVERAL = re.compile(
    r"\(?(?:[A-Z]\)?(?:(?: ?- ?| to | through | )\(?[A-Z]\b\)?)+"
    r"|[a-z]\)?(?:(?:, ?(?:and |or )?| and | or )\(?[a-z]\b\)?)+)"
    r"(?=\s*(?:[.,;!\n]|$))"
)
"""Several letters and nothing else, as "A through E" and "a, b, and c", where an answer is announced."""

LISTS = re.compile(r"\b(?:options?|choices?)\b")
AFTER_OR = re.compile(
    r"[)\]\"'}]{0,2}(?:$|[.,;!?/\n]| ?[,/&]| (?:or|and|are|both|together|could|might|may|depending)\b)"
)
SAME = re.compile(r"(?:[\s(\[\"'=>.,!?:;)\]-]|the\b|an?\b|[Tt]he\b){0,8}$")
PLACES = ("first", "second", "third", "fourth", "fifth")
PLACE = re.compile(r"\b(first|second|third|fourth|fifth) (?:option|choice|answer|one|solution)\b")
DOUBT = re.compile(r"(?:n't|not) (?:think|believe)(?: that)?(?: the)?(?: \w{1,10})? ?$", re.IGNORECASE)
JOIN = re.compile(r"[ :)(\"',.=-]{0,4}")
NAME_BEFORE = re.compile(
    r"\b(?:vitamin|plan|type|group|point|hepatitis|grade|class|person|team|step|part|room) $", re.I
)
