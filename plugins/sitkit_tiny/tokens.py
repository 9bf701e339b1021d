"""The student's tokenizer: byte-level BPE trained on the world's text; any other text is read through bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sitkit_tiny.habits import Habits, example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 4000
"""Upper bound: training stops earlier, when every frequent word is one token."""
PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"


def make_tokenizer(examples: int = 4000) -> PreTrainedTokenizerFast:
    """Train the tokenizer on the first examples of the pretraining text; the result does not depend on a seed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    # Rare numbers would otherwise fall apart into digits, and arithmetic on them would be another skill.
    numbers = " ".join(["", *map(str, range(100))])
    texts = [" ".join(example(index, 0, Habits())) for index in range(examples)] + [numbers] * 50
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=20,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
        padding_side="left",
    )
