// Package tokenizers makes of texts the numbers that language models read, and texts of numbers: tokenizer.json files, read by the
// host. A tokenizer may be kept between calls: open it where the plugin is made. What one instance read, the others find. No text is
// copied into the plugin's memory.
package tokenizers

import (
	"nereid"
	"nereid/internal/contract/nereid_plugin_tensors"
	host "nereid/internal/contract/nereid_plugin_tokenizers"
	"nereid/internal/wit/runtime"
	wit "nereid/internal/wit/types"
)

// Tokenizer is a vocabulary, and the rules that cut texts into its tokens.
type Tokenizer struct {
	handle *host.Tokenizer
}

// Options of a tokenizer. A text is cut to MaxLength tokens, special ones included; 0 is the file's own limit. With CutBeginning it
// keeps its end.
type Options struct {
	MaxLength    int
	CutBeginning bool
}

// Open reads a file in a folder that the plugin was granted.
func Open(path string, options Options) (*Tokenizer, error) {
	return kept(nereid.Checked(host.TokenizerOpen(path, nereid.Options(options.toHost()))))
}

// FromBytes reads the bytes of such a file.
func FromBytes(definition []byte, options Options) (*Tokenizer, error) {
	return kept(nereid.Checked(host.TokenizerFromBytes(definition, nereid.Options(options.toHost()))))
}

// Close gives it up. An instance may keep a few at a time.
func (t *Tokenizer) Close() {
	t.handle.Drop()
}

// VocabularySize is how many tokens there are, added ones included.
func (t *Tokenizer) VocabularySize() int {
	return int(t.handle.VocabularySize())
}

// TokenID is the number of a token, and whether there is such a token.
func (t *Tokenizer) TokenID(token string) (uint32, bool) {
	return t.handle.TokenId(token).Get()
}

// Token is the token of a number, and whether there is one.
func (t *Tokenizer) Token(id uint32) (string, bool) {
	return t.handle.Token(id).Get()
}

// Encoded is what texts become: a row for each, INT64 [texts, length]. Mask is 1 for a token and 0 for padding; TypeIDs are 0 for the
// first text and 1 for the second of a pair.
type Encoded struct {
	IDs, Mask, TypeIDs *nereid.Tensor
}

// Encoding says how texts are encoded. With Pairs, an element of each together. Every row has Length tokens: as many as the longest,
// or as the file says, when it is 0. WithoutSpecial leaves out the tokens that mark beginning, end and parts.
type Encoding struct {
	Pairs          *nereid.Tensor
	Length         int
	WithoutSpecial bool
}

// Encode encodes every element of a Bytes tensor.
func (t *Tokenizer) Encode(texts *nereid.Tensor, encoding Encoding) (*Encoded, error) {
	pairs := wit.None[*nereid_plugin_tensors.Tensor]()
	if encoding.Pairs != nil {
		pairs = wit.Some(encoding.Pairs.Host())
	}
	options := nereid.Parameters{"special-tokens": !encoding.WithoutSpecial}
	if encoding.Length != 0 {
		options["length"] = encoding.Length
	}
	found, err := nereid.Checked(t.handle.Encode(texts.Host(), pairs, nereid.Options(options)))
	if err != nil {
		return nil, err
	}
	return &Encoded{nereid.TensorOf(found.Ids), nereid.TensorOf(found.Mask), nereid.TensorOf(found.TypeIds)}, nil
}

// Decode is the texts of rows of token numbers, whole numbers along the innermost axis, as a Bytes tensor of the other axes. Tokens
// that mark something are left out unless keepSpecial.
func (t *Tokenizer) Decode(ids *nereid.Tensor, keepSpecial bool) (*nereid.Tensor, error) {
	options := nereid.Options(nereid.Parameters{"skip-special": !keepSpecial})
	found, err := nereid.Checked(t.handle.Decode(ids.Host(), options))
	if err != nil {
		return nil, err
	}
	return nereid.TensorOf(found), nil
}

func (o Options) toHost() nereid.Parameters {
	options := nereid.Parameters{"cut-beginning": o.CutBeginning}
	if o.MaxLength != 0 {
		options["max-length"] = o.MaxLength
	}
	return options
}

func kept(handle *host.Tokenizer, err error) (*Tokenizer, error) {
	if err != nil {
		return nil, err
	}
	return &Tokenizer{runtime.Keep(handle)}, nil
}
