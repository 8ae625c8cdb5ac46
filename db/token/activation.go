package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/google/uuid"
)

// Activation is the purpose of a candidate's activation key, whose row is an interview; StaffActivation that of a staff
// user, who sets a first password with it.
const (
	Activation      = "activation"
	StaffActivation = "staff activation"
)

// An activation key has five bytes of its row's number and eleven bytes of a keyed hash of its purpose and id: 88 bits
// cannot be guessed through an API.
const (
	activationNumber = 5
	activationMAC    = 11
)

// ActivationKey returns the key of a row: 32 hex characters, as the interview suite's keys have. It is derived on each
// use and never stored. "": the number does not fit into 40 bits.
func ActivationKey(secret []byte, purpose string, number int64, id uuid.UUID) string {
	if number >= 1<<(8*activationNumber) {
		return ""
	}
	key := make([]byte, 0, activationNumber+activationMAC)
	for shift := 8 * (activationNumber - 1); shift >= 0; shift -= 8 {
		key = append(key, byte(number>>shift))
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(purpose + "\x00")) // separates the purpose from the id
	mac.Write(id[:])
	return hex.EncodeToString(append(key, mac.Sum(nil)[:activationMAC]...))
}

// ActivationNumber returns the row's number in a key, which the caller must compare; false for a text that is none.
func ActivationNumber(key string) (number int64, valid bool) {
	raw, err := hex.DecodeString(key)
	if err != nil || len(raw) != activationNumber+activationMAC {
		return 0, false
	}
	for _, b := range raw[:activationNumber] {
		number = number<<8 | int64(b)
	}
	return number, true
}

// ActivationURL returns the page on which a staff user sets a first password. base has no trailing slash.
func ActivationURL(base, key string) string { return base + "/cfev3/activate/" + key }
