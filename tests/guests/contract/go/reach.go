// What the plugin reaches beyond its tensors, each in words that every language says alike.
package main

import (
	"fmt"
	"strings"
	"time"

	"nereid"
	"nereid/control"
	"nereid/files"
	"nereid/http"
	"nereid/metrics"
	"nereid/state"
)

// said is the input, and words as the parameter `said`.
func said(x *nereid.Tensor, words ...any) (*nereid.Response, error) {
	text := strings.TrimSuffix(fmt.Sprintln(words...), "\n")
	return &nereid.Response{Outputs: nereid.Tensors{"X": x}, Parameters: nereid.Parameters{"said": text}}, nil
}

// refused is the kind of an error.
func refused(err error) string {
	if err == nil {
		return "allowed"
	}
	return nereid.CodeOf(err).String()
}

// sure is the value of what must not fail here; the panic shows the place.
func sure[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func facts(_ *contract, request *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	at := request.Sequence()
	return said(x, request.ID(), request.Rows(), request.Priority(), request.Tenant(), at.ID(), at.Start, at.End,
		request.Wants("X"), len(request.WantedOutputs()), request.Remaining() > time.Second)
}

func allOfState(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	first := sure(state.Set("a", []byte("one"), 0))
	entry := sure(state.Get("a"))
	_, swapped, err := state.Swap("a", []byte("two"), &first, 0)
	_, late, another := state.Swap("a", []byte("three"), &first, 0)
	if err != nil || another != nil {
		return nil, fmt.Errorf("%w, %w", err, another)
	}
	two, less := sure(state.Add("n", 2)), sure(state.Add("n", -5))
	keys, now := strings.Join(sure(state.Keys("", 10)), ","), sure(state.Get("a"))
	deleted, again := sure(state.Delete("a")), sure(state.Delete("a"))
	gone := sure(state.Get("a")) == nil
	_, fresh, err := state.Swap("b", []byte("x"), nil, time.Minute)
	if err != nil {
		return nil, err
	}
	return said(x, string(entry.Value), entry.Version == first, swapped, late, string(now.Value), two, less, keys, deleted, again,
		gone, fresh)
}

func allOfMetrics(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	counter := sure(metrics.NewCounter("contract_things_total", "Things", metrics.Labels{"kind": "x"}))
	gauge := sure(metrics.NewGauge("contract_level", "Level", nil))
	sizes := sure(metrics.NewHistogram("contract_sizes", "Sizes", nil, []float64{1, 2}))
	if err := counter.Add(2); err != nil {
		return nil, err
	}
	gauge.Set(3)
	gauge.Add(-1)
	sizes.Observe(1.5)
	return said(x, counter.Value(), gauge.Value(), refused(counter.Add(-1)))
}

func allOfFiles(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	if err := files.Write("/scratch/a.txt", []byte("hello")); err != nil {
		return nil, err
	}
	words := []any{string(sure(files.Read("/scratch/a.txt"))), string(sure(files.ReadRange("/scratch/a.txt", 1, 3)))}
	for _, entry := range sure(files.List("/scratch")) {
		words = append(words, fmt.Sprintf("%s:%d:%t", entry.Name, entry.Size, entry.IsFolder))
	}
	if err := files.Remove("/scratch/a.txt"); err != nil {
		return nil, err
	}
	_, gone := files.Read("/scratch/a.txt")
	_, elsewhere := files.Read("/elsewhere/a.txt")
	return said(x, append(words, refused(gone), refused(elsewhere))...)
}

func allOfSecrets(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	token := sure(nereid.Secret("token"))
	_, other := nereid.Secret("other")
	return said(x, string(token), refused(other))
}

func allOfHTTP(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	server, _ := nereid.LookupSetting("server")
	echo := http.Request{
		Method: "POST", URL: server + "/echo", Headers: map[string]string{"x-word": "hi"}, Body: []byte("ping"), Timeout: time.Minute,
	}
	results := http.SendAll(echo, http.Request{URL: server + "/missing"})
	echoed, missing := sure(results[0].Answer, results[0].Err), sure(results[1].Answer, results[1].Err)
	_, denied := http.Get("http://127.0.0.1:1/")
	return said(x, echoed.Status, echoed.Headers["x-method"], echoed.Headers["x-word"], string(echoed.Body), missing.Status,
		refused(denied))
}

func allOfControl(_ *contract, _ *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	var words []any
	for _, entry := range sure(control.Index()) {
		words = append(words, fmt.Sprintf("%s:%d:%s", entry.Name, entry.Version, entry.State))
	}
	if err := control.Load("other", ""); err != nil {
		return nil, err
	}
	if err := control.Unload("other", false); err != nil {
		return nil, err
	}
	return said(x, append(words, refused(control.Load("denied", "")))...)
}

func allOfSpans(_ *contract, request *nereid.Request, x *nereid.Tensor) (*nereid.Response, error) {
	outer := nereid.BeginSpan("outer")
	outer.Set("number", 3)
	outer.Set("word", "x")
	outer.Set("sure", true)
	outer.Event("half", nereid.Parameters{"rows": 2})
	inner := outer.Child("inner")
	inner.Set("share", 0.5)
	inner.End()
	outer.End()
	request.BeginSpan("of-request").End()
	nereid.BeginSpan("open")
	return said(x, outer.Recorded())
}
