// A tokenizer of a granted folder, opened in both ways, and what it makes of two texts.
package main

import (
	"fmt"
	"strings"

	"nereid"
	"nereid/files"
	"nereid/operations"
	"nereid/tokenizers"
)

func allOfTokenizers(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	var all lines
	texts := sure(nereid.FromTexts([]int{2}, []string{"cat dog", "dog bird"}))
	tokenizer := sure(tokenizers.Open("/scratch/tokenizer.json", tokenizers.Options{}))
	all.about(tokenizer)
	all.encoded(tokenizer, texts)
	tokenizer.Close()
	definition := sure(files.Read("/scratch/tokenizer.json"))
	cutting := sure(tokenizers.FromBytes(definition, tokenizers.Options{MaxLength: 1, CutBeginning: true}))
	all.show("cut", sure(cutting.Encode(texts, tokenizers.Encoding{})).IDs)
	cutting.Close()
	_, other := tokenizers.Open("/scratch/other.json", tokenizers.Options{})
	all = append(all, "refused "+refused(other))
	return said(x, strings.Join(all, "\n"))
}

func (l *lines) about(tokenizer *tokenizers.Tokenizer) {
	dog, _ := tokenizer.TokenID("dog")
	_, known := tokenizer.TokenID("bird")
	cat, _ := tokenizer.Token(1)
	*l = append(*l, fmt.Sprint("size ", tokenizer.VocabularySize(), " ", dog, " ", known, " ", cat))
}

func (l *lines) encoded(tokenizer *tokenizers.Tokenizer, texts *nereid.Tensor) {
	three := sure(tokenizer.Encode(texts, tokenizers.Encoding{Length: 3}))
	l.show("ids", three.IDs)
	l.show("mask", three.Mask)
	l.show("types", sure(tokenizer.Encode(texts, tokenizers.Encoding{Pairs: texts, WithoutSpecial: true})).TypeIDs)
	plain := sure(tokenizer.Encode(texts, tokenizers.Encoding{}))
	words := sure(operations.Texts(sure(tokenizer.Decode(plain.IDs, false)), 0, 2))
	*l = append(*l, "decoded "+strings.Join(words, "|"))
}
