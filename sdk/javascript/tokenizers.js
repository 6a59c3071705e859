// Texts to the numbers that language models read, and back: `tokenizer.json` files, read by the host.
//
//     // In the constructor; the model's own folder is granted as /model in plugin.toml.
//     this.tokenizer = new tokenizers.Tokenizer("/model/tokenizer.json", { maxLength: 128 });
//
//     const { ids, mask } = this.tokenizer.encode(inputs.get("TEXT"));
//
// A tokenizer may be kept between calls. What one instance read, the others find. No text is copied into the plugin's memory.

import * as host from "nereid:plugin/tokenizers";

import { asking } from "./errors.js";
import { given } from "./operations.js";
import { Tensor, handleOf } from "./tensor.js";

/// A vocabulary, and the rules that cut texts into its tokens.
export class Tokenizer {
  #handle;

  /// From a file in a folder that the plugin was granted, or from the bytes of one (`Uint8Array`). A text is cut to `maxLength`
  /// tokens, special ones included (the file's own limit unless given); with `cutBeginning` it keeps its end.
  constructor(file, { maxLength, cutBeginning } = {}) {
    const options = given({ "max-length": maxLength, "cut-beginning": cutBeginning });
    const open = typeof file === "string" ? host.Tokenizer.open : host.Tokenizer.fromBytes;
    this.#handle = asking(() => open.call(host.Tokenizer, file, options));
  }

  /// How many tokens there are, added ones included.
  get vocabularySize() {
    return this.#handle.vocabularySize();
  }

  /// The number of a token; undefined when there is none.
  tokenId(token) {
    return this.#handle.tokenId(token) ?? undefined;
  }

  /// The token of a number; undefined when there is none.
  token(id) {
    return this.#handle.token(id) ?? undefined;
  }

  /// Every element of a BYTES tensor; with `pairs`, an element of each together. Gives `{ ids, mask, typeIds }`, INT64
  /// `[texts, length]`. Every row has `length` tokens: as many as the longest, or as the file says, unless given.
  encode(texts, { pairs, specialTokens, length } = {}) {
    const options = given({ "special-tokens": specialTokens, length });
    const other = pairs === undefined ? undefined : handleOf(pairs);
    const { ids, mask, typeIds } = asking(() => this.#handle.encode(handleOf(texts), other, options));
    return { ids: new Tensor(ids), mask: new Tensor(mask), typeIds: new Tensor(typeIds) };
  }

  /// The texts of rows of token numbers, whole numbers along the innermost axis, as a BYTES tensor of the other axes.
  decode(ids, { skipSpecial } = {}) {
    const options = given({ "skip-special": skipSpecial });
    return new Tensor(asking(() => this.#handle.decode(handleOf(ids), options)));
  }
}
