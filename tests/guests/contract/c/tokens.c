/* A tokenizer of a granted folder, opened in both ways, and what it makes of two texts. */

#include "contract.h"

static const char *about(const nereid_tokenizer *tokenizer) {
    uint32_t dog = 0, bird = 0;
    nereid_token_id(tokenizer, "dog", &dog);
    const char *known = yes(nereid_token_id(tokenizer, "bird", &bird)), *cat = nereid_token(tokenizer, 1);
    return cat == NULL ? "" : say("", "size %u %u %s %s", nereid_vocabulary_size(tokenizer), dog, known, cat);
}

static const char *encoded(const char *said, const nereid_tokenizer *tokenizer, const nereid_tensor *texts) {
    nereid_encoding three, pairs, plain;
    nereid_encode(tokenizer, texts, (nereid_encoding_rules){.length = 3}, &three);
    said = shown(shown(said, "ids", three.ids), "mask", three.mask);
    nereid_encode(tokenizer, texts, (nereid_encoding_rules){.pairs = texts, .without_special = true}, &pairs);
    said = shown(said, "types", pairs.type_ids);
    nereid_encode(tokenizer, texts, (nereid_encoding_rules){0}, &plain);
    const char **words = nereid_texts(nereid_decode(tokenizer, plain.ids, false), 0, 2);
    return words == NULL ? said : say(said, "\ndecoded %s|%s", words[0], words[1]);
}

const char *all_of_tokenizers(void) {
    nereid_tensor *texts = nereid_from_texts(NEREID_SHAPE(2), (const char *const[]){"cat dog", "dog bird"});
    nereid_tokenizer *tokenizer = nereid_tokenizer_open("/scratch/tokenizer.json", 0, false);
    const char *said = encoded(about(tokenizer), tokenizer, texts);
    nereid_tokenizer_close(tokenizer);
    nereid_bytes definition;
    if (!nereid_file_read("/scratch/tokenizer.json", &definition)) {
        return NULL;
    }
    nereid_tokenizer *cutting = nereid_tokenizer_from_bytes(definition, 1, true);
    nereid_encoding cut;
    nereid_encode(cutting, texts, (nereid_encoding_rules){0}, &cut);
    nereid_tokenizer_close(cutting);
    said = shown(said, "cut", cut.ids);
    if (nereid_error(NULL) != NULL) {
        return NULL;
    }
    nereid_tokenizer_open("/scratch/other.json", 0, false);
    return say(said, "\nrefused %s", refused());
}
