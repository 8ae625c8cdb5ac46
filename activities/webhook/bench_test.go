package webhook_test

import (
	"io"
	"net/http"
	"testing"
)

// BenchmarkSend measures one attempt against a receiver in the same process; allocations include the receiver's side.
func BenchmarkSend(b *testing.B) {
	receiver := setup(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	})
	req := request(b, receiver.URL)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if resp := receiver.client.Send(b.Context(), req); resp.StatusCode != http.StatusOK {
				b.Errorf("status %d: %s", resp.StatusCode, resp.Error)
				return
			}
		}
	})
}

// BenchmarkHeader is the part of an attempt that is this package's own: headers and signatures.
func BenchmarkHeader(b *testing.B) {
	req := request(b, "https://example.com/")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := req.Header(attemptedAt); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRender is one body, made once for each delivery.
func BenchmarkRender(b *testing.B) {
	p := profile(b, "standard")
	m := message("ping", "ping", []byte(`{"interviewId":"0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11","status":"COMPLETED"}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Render(m); err != nil {
			b.Fatal(err)
		}
	}
}
