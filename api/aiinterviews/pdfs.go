package aiinterviews

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"greenroom/api/surface"
)

// A PDF of 200 pages takes some 100 ms of CPU time and 20 MiB.
const (
	// rendersAtOnce limits the PDFs that are rendered at once; each report is rendered once at a time.
	rendersAtOnce = 2
	// renderWait is how long a request waits for its turn.
	renderWait = 10 * time.Second
	// cachedPDFs limits the memory of rendered PDFs, in bytes.
	cachedPDFs = 16 << 20
)

// pdfs renders reports and caches the files by the content of the report.
type pdfs struct {
	turns     *surface.Shares
	rendering singleflight.Group

	mu    sync.Mutex
	files map[[32]byte][]byte
	bytes int
}

func newPDFs() *pdfs {
	return &pdfs{
		turns: surface.NewShares(rendersAtOnce, rendersAtOnce, renderWait),
		files: map[[32]byte][]byte{},
	}
}

// of returns the PDF of a report.
func (p *pdfs) of(ctx context.Context, r *report) ([]byte, error) {
	content, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	key := sha256.Sum256(content)
	if file := p.find(key); file != nil {
		return file, nil
	}
	file, err, _ := p.rendering.Do(string(key[:]), func() (any, error) {
		release, got := p.turns.Acquire(ctx, "", 1)
		if !got {
			return nil, surface.Busy("Too many reports are being rendered; try again")
		}
		defer release()
		var file bytes.Buffer
		if err := writePDF(&file, r); err != nil {
			return nil, fmt.Errorf("write report: %w", err)
		}
		p.keep(key, file.Bytes())
		return file.Bytes(), nil
	})
	if err != nil {
		return nil, err
	}
	return file.([]byte), nil //nolint:forcetypeassert // of the function above
}

func (p *pdfs) find(key [32]byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.files[key]
}

func (p *pdfs) keep(key [32]byte, file []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, old := range p.files { // evicts any file: it is rendered again at its next use
		if p.bytes+len(file) <= cachedPDFs {
			break
		}
		delete(p.files, other)
		p.bytes -= len(old)
	}
	if p.bytes+len(file) <= cachedPDFs {
		p.files[key] = file
		p.bytes += len(file)
	}
}
