// Package metrics has metrics of the plugin's own, on the server's metrics page. Open them once, where the plugin is made, and keep
// them.
//
// The host adds the label model. Names are Prometheus names without the prefixes nv_ and nereid_; how many label sets a model may
// have is limited. Two that are opened under one name and labels are the same.
package metrics

import (
	"sort"

	"nereid"
	host "nereid/internal/contract/nereid_plugin_metrics"
	"nereid/internal/wit/runtime"
)

// Labels are the names and values of a metric's labels.
type Labels map[string]string

// Counter is a number that only grows.
type Counter struct {
	handle *host.Counter
}

// NewCounter opens one.
func NewCounter(name, description string, labels Labels) (*Counter, error) {
	handle, err := nereid.Checked(host.CounterOpen(name, description, labels.toHost()))
	if err != nil {
		return nil, err
	}
	return &Counter{runtime.Keep(handle)}, nil
}

// Add adds an amount, which must not be negative.
func (c *Counter) Add(amount float64) error {
	return nereid.Done(c.handle.Add(amount))
}

// Value is the number now.
func (c *Counter) Value() float64 {
	return c.handle.Value()
}

// Gauge is a number that goes up and down.
type Gauge struct {
	handle *host.Gauge
}

// NewGauge opens one.
func NewGauge(name, description string, labels Labels) (*Gauge, error) {
	handle, err := nereid.Checked(host.GaugeOpen(name, description, labels.toHost()))
	if err != nil {
		return nil, err
	}
	return &Gauge{runtime.Keep(handle)}, nil
}

// Set replaces the number.
func (g *Gauge) Set(value float64) {
	g.handle.Set(value)
}

// Add adds an amount, which may be negative.
func (g *Gauge) Add(amount float64) {
	g.handle.Add(amount)
}

// Value is the number now.
func (g *Gauge) Value() float64 {
	return g.handle.Value()
}

// Histogram is observations, counted in buckets.
type Histogram struct {
	handle *host.Histogram
}

// NewHistogram opens one whose buckets have these upper bounds, in growing order.
func NewHistogram(name, description string, labels Labels, bounds []float64) (*Histogram, error) {
	handle, err := nereid.Checked(host.HistogramOpen(name, description, labels.toHost(), bounds))
	if err != nil {
		return nil, err
	}
	return &Histogram{runtime.Keep(handle)}, nil
}

// Observe counts an observation.
func (h *Histogram) Observe(value float64) {
	h.handle.Observe(value)
}

func (l Labels) toHost() []host.Label {
	labels := make([]host.Label, 0, len(l))
	for name, value := range l {
		labels = append(labels, host.Label{Name: name, Value: value})
	}
	sort.Slice(labels, func(left, right int) bool { return labels[left].Name < labels[right].Name })
	return labels
}
