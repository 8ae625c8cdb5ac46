package surface

import (
	"sync"

	"greenroom/db"
)

// maxRememberedKeys limits the memory use; a key takes about half a KiB.
const maxRememberedKeys = 10_000

// keyMemory caches API keys by hash, as they were last read. A cached key may have been modified, revoked or deleted
// since, so its reader must have it confirmed before it answers.
type keyMemory struct {
	mu     sync.RWMutex
	byHash map[[32]byte]*db.APIKey
}

func newKeyMemory() *keyMemory { return &keyMemory{byHash: map[[32]byte]*db.APIKey{}} }

// find returns a key, which must not be modified, or nil.
func (m *keyMemory) find(hash []byte) *db.APIKey {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byHash[[32]byte(hash)]
}

func (m *keyMemory) keep(hash []byte, k *db.APIKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byHash) >= maxRememberedKeys {
		for other := range m.byHash { // evicts any key: it is read again at its next use
			delete(m.byHash, other)
			break
		}
	}
	m.byHash[[32]byte(hash)] = k
}
