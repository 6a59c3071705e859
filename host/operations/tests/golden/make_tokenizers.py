"""Writes small tokenizers, and what Hugging Face's library makes of texts with them, for host/operations/tests/tokenizers.rs.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install tokenizers==0.23.2
    /tmp/golden/bin/python host/operations/tests/golden/make_tokenizers.py

The results are committed, so nobody else needs to. Tokens and numbers are exact, of the version that the workspace has: 0.23.3
cuts pairs of equal length differently.
"""

import json
import pathlib

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FOLDER = pathlib.Path(__file__).resolve().parent
SENTENCES = [
    "The host owns the protocols, the repository, the schedulers and the batchers.",
    "A plugin takes tensors and gives tensors; whatever else it needs, it asks for.",
    "Numbers such as 3.14, 2,718 and 1e-6 are cut apart, and so is don't.",
    "Der Wirt führt fremden Code aus, ohne Furcht: Größe, Straße, Übermut.",
    "Το σπίτι είναι μικρό. Дом мал. 家は小さい。",
    "emoji 🙂🚀 and    spaces\tand\nlines",
]
ASKED = ["A plugin owns its numbers.", "", "unheard-of wörds 🙂 家", "The host, the host, the host and the host again"]


def train(model, trainer, **parts) -> Tokenizer:
    tokenizer = Tokenizer(model)
    for part, value in parts.items():
        setattr(tokenizer, part, value)
    tokenizer.train_from_iterator(SENTENCES * 20, trainer)
    return tokenizer


def trained() -> dict:
    """Three of the kinds that models come with, small."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    wordpiece = train(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False),
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )
    ids = {token: wordpiece.token_to_id(token) for token in special}
    wordpiece.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    wordpiece.enable_padding(pad_id=ids["[PAD]"], pad_token="[PAD]", pad_to_multiple_of=4)
    wordpiece.enable_truncation(12)
    bpe = train(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoder=decoders.ByteLevel(),
    )
    bpe.enable_padding(direction="left", pad_id=0, pad_token="<|end|>")
    unigram = train(
        models.Unigram(),
        trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>", "<s>"], unk_token="<unk>", show_progress=False),
        normalizer=normalizers.NFKC(),
        pre_tokenizer=pre_tokenizers.Metaspace(),
        decoder=decoders.Metaspace(),
    )
    return {"wordpiece": wordpiece, "bpe": bpe, "unigram": unigram}


def tokenizer_cases():
    """What the library's own Python face gives: of single texts, of pairs, cut, without special tokens; and the way back."""
    for name, tokenizer in trained().items():
        definition = tokenizer.to_str()
        (FOLDER / f"{name}.tokenizer.json").write_text(json.dumps(json.loads(definition), ensure_ascii=False) + "\n")
        for pairs in (False, True):
            for special in (True, False):
                for length_max in (None, 6):
                    yield tokenizer_case(name, Tokenizer.from_str(definition), pairs, special, length_max)


def tokenizer_case(name, tokenizer, pairs, special, length_max):
    if length_max:
        tokenizer.enable_truncation(length_max)
    asked = list(zip(ASKED, reversed(ASKED), strict=True)) if pairs else ASKED
    if not tokenizer.padding:
        tokenizer.enable_padding(pad_id=0)
    rows = tokenizer.encode_batch(asked, add_special_tokens=special)
    return {
        "tokenizer": name,
        "pairs": pairs,
        "special_tokens": special,
        "length_max": length_max,
        "texts": ASKED,
        "ids": [row.ids for row in rows],
        "mask": [row.attention_mask for row in rows],
        "type_ids": [row.type_ids for row in rows],
        "decoded": tokenizer.decode_batch([row.ids for row in rows], skip_special_tokens=True),
        "vocabulary_size": tokenizer.get_vocab_size(),
    }


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in tokenizer_cases())
    (FOLDER / "tokenizers.json").write_text(f"[\n{lines}\n]\n")
