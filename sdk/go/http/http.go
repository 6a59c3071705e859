// Package http sends requests to the servers that plugin.toml lists under http in [grants]. Go's own net/http finds no sockets in a
// sandbox.
//
// Redirects are answers like any other. While a request is under way the plugin's computing time stands.
package http

import (
	"math"
	"time"

	"nereid"
	host "nereid/internal/contract/nereid_plugin_http"
	wit "nereid/internal/wit/types"
)

// Request is what is asked of a server.
type Request struct {
	// Method is GET where it is "".
	Method string
	// URL is https://host/path?query; http:// and ports where the grant says so.
	URL string
	// Headers without host and content-length, which the host writes.
	Headers map[string]string
	Body    []byte
	// Timeout for the whole answer; 0 is the limit http_timeout_ms, which is also the longest.
	Timeout time.Duration
}

// Answer is what a server answered, whatever its status. Names of headers are in small letters; of those that came several times,
// the values are joined with commas.
type Answer struct {
	Status  int
	Headers map[string]string
	Body    []byte
}

// Get sends a GET request and waits for the answer.
func Get(url string) (*Answer, error) {
	return Send(Request{URL: url})
}

// Send sends a request and waits for the answer. An error is a request that got none: refused, not granted, or too late.
func Send(request Request) (*Answer, error) {
	return answered(host.Send(request.toHost()))
}

// Result is an answer, or why there is none.
type Result struct {
	Answer *Answer
	Err    error
}

// SendAll sends several at the same time. Their results are in the order of the requests.
func SendAll(requests ...Request) []Result {
	asked := make([]host.Request, len(requests))
	for index, request := range requests {
		asked[index] = request.toHost()
	}
	found := host.SendAll(asked)
	results := make([]Result, len(found))
	for index, one := range found {
		results[index].Answer, results[index].Err = answered(one)
	}
	return results
}

func (r Request) toHost() host.Request {
	method := r.Method
	if method == "" {
		method = "GET"
	}
	headers := make([]host.Header, 0, len(r.Headers))
	for name, value := range r.Headers {
		headers = append(headers, host.Header{Name: name, Value: []byte(value)})
	}
	return host.Request{Method: method, Url: r.URL, Headers: headers, Body: r.Body, TimeoutMs: milliseconds(r.Timeout)}
}

func answered(result wit.Result[host.Response, host.Error]) (*Answer, error) {
	found, err := nereid.Checked(result)
	if err != nil {
		return nil, err
	}
	headers := make(map[string]string, len(found.Headers))
	for _, header := range found.Headers {
		value := string(header.Value)
		if earlier, several := headers[header.Name]; several {
			value = earlier + ", " + value
		}
		headers[header.Name] = value
	}
	return &Answer{int(found.Status), headers, found.Body}, nil
}

// milliseconds are rounded up, so that a short time is still one.
func milliseconds(timeout time.Duration) wit.Option[uint32] {
	if timeout <= 0 {
		return wit.None[uint32]()
	}
	return wit.Some(uint32(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxUint32)))
}
