package surface

import (
	"sync"

	"greenroom/db"
)

// maxRememberedKeys bounds the memory; a key takes about half a KiB.
const maxRememberedKeys = 10_000

// keyMemory has API keys as they were when they were last read, by their hash. It promises nothing: what is in it may
// have been changed, revoked or deleted since, so its reader has the key confirmed before the answer is given.
type keyMemory struct {
	mu     sync.RWMutex
	byHash map[[32]byte]*db.APIKey
}

func newKeyMemory() *keyMemory { return &keyMemory{byHash: map[[32]byte]*db.APIKey{}} }

// find returns a key that nobody may change, or nil.
func (m *keyMemory) find(hash []byte) *db.APIKey {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byHash[[32]byte(hash)]
}

func (m *keyMemory) keep(hash []byte, k *db.APIKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byHash) >= maxRememberedKeys {
		for other := range m.byHash { // any of them: it is read again when it is used again
			delete(m.byHash, other)
			break
		}
	}
	m.byHash[[32]byte(hash)] = k
}
