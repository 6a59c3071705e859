package nereid

import "nereid/internal/contract/nereid_plugin_tracing"

// Span is a step of the plugin's own in the trace of a request: in the collector's spans, and in trace files. It ends with End, or with the
// call. A request that is not traced has no spans: beginning one costs one call of the host and gives nil, whose methods do nothing.
//
//	span := nereid.BeginSpan("decode")
//	defer span.End()
type Span struct {
	handle *nereid_plugin_tracing.Span
}

// BeginSpan begins a span of the request under way; of a batch, of the first request that is traced.
func BeginSpan(name string) *Span {
	return spanOf(nereid_plugin_tracing.SpanBegin(name).Get())
}

// BeginSpan begins a span of this request, of a batch for example.
func (r *Request) BeginSpan(name string) *Span {
	return spanOf(nereid_plugin_tracing.SpanBeginFor(r.handle, name).Get())
}

func spanOf(handle *nereid_plugin_tracing.Span, recorded bool) *Span {
	if !recorded {
		return nil
	}
	return &Span{handle}
}

// Recorded says whether it is: worth asking before what it costs to find an attribute.
func (s *Span) Recorded() bool {
	return s != nil
}

// Child begins a span within this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return spanOf(s.handle.Child(name).Get())
}

// Set adds an attribute: a bool, a number or a string; anything else is left out. Of two of one name the later counts.
func (s *Span) Set(name string, value any) {
	if s == nil {
		return
	}
	if scalar, err := valueToHost(value); err == nil {
		s.handle.Set(name, scalar)
	}
}

// Event notes that something happened now. Attributes are as those of Set.
func (s *Span) Event(name string, attributes Parameters) {
	if s != nil {
		s.handle.Event(name, Options(attributes))
	}
}

// End ends it; what happens after counts no more.
func (s *Span) End() {
	if s != nil {
		s.handle.End()
	}
}
