package config

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"greenroom/db"
)

// The error of each function here completes a sentence: "circuit.threshold must be a whole number from 6 to 19".

func plain(text string) (string, error) { return text, nil }

func whole(least, most int) func(string) (int, error) {
	return func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

var port = whole(1, 65535)

func ratio(text string) (float64, error) {
	r, err := strconv.ParseFloat(text, 64)
	if err != nil || !(r >= 0 && r <= 1) { // NaN is neither
		return 0, errors.New("must be a number from 0 to 1")
	}
	return r, nil
}

func duration(least time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < least {
			return 0, fmt.Errorf("must be a duration such as 500ms, 10s, 5m or 168h, at least %s", least)
		}
		return d, nil
	}
}

func boolean(text string) (bool, error) {
	b, err := strconv.ParseBool(text)
	if err != nil {
		return false, errors.New("must be true or false")
	}
	return b, nil
}

func oneOf[T ~string](allowed ...T) func(string) (T, error) {
	return func(text string) (T, error) {
		if slices.Contains(allowed, T(text)) {
			return T(text), nil
		}
		names := make([]string, len(allowed))
		for i, name := range allowed {
			names[i] = string(name)
		}
		return "", errors.New("must be " + strings.Join(names, " or "))
	}
}

func level(text string) (slog.Level, error) {
	allowed := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	l, ok := allowed[strings.ToLower(text)]
	if !ok {
		return 0, errors.New("must be debug, info, warn or error")
	}
	return l, nil
}

func hostPort(text string) (string, error) {
	_, portText, err := net.SplitHostPort(text)
	if err == nil {
		_, err = whole(0, 65535)(portText)
	}
	if err != nil {
		return "", errors.New("must be host:port")
	}
	return text, nil
}

func webURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("must be an http or https address")
	}
	return strings.TrimRight(text, "/"), nil
}

func proxyURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("must be an HTTP proxy's address such as http://user:password@proxy.example.com:3128")
	}
	return text, nil
}

func smtpURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") || u.Hostname() == "" ||
		strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" {
		return "", errors.New("must be a mail server's address such as smtp://user:password@mail.example.com:587")
	}
	return text, nil
}

func mailAddress(text string) (string, error) {
	if _, err := mail.ParseAddress(text); err != nil {
		return "", errors.New("must be an e-mail address such as Recruiting <jobs@example.com>")
	}
	return text, nil
}

// issuerURL is https, except on this machine: who signs in is trusted with what its answer says.
func issuerURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1") {
		return "", errors.New("must be an https address without a query, such as https://login.example.com")
	}
	return text, nil
}

func postgresURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.Host == "" && u.RawQuery == "" {
		return "", errors.New("must be a PostgreSQL address such as postgres://user:password@host:5432/database")
	}
	return text, nil
}

func networks(text string) (Networks, error) {
	var list []string
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if _, valid := db.ParseNetwork(item); !valid {
			return "", errors.New("must be addresses or ranges such as 10.0.0.0/8, separated by commas")
		}
		list = append(list, item)
	}
	return Networks(strings.Join(list, ",")), nil
}

// deploymentName applies Temporal's rules: it joins name and build id with these characters.
func deploymentName(text string) (string, error) {
	if strings.ContainsAny(text, ".:") || strings.HasPrefix(text, "__") {
		return "", errors.New(`must not contain "." or ":" nor begin with "__"`)
	}
	return text, nil
}

// minKeyBytes is the strength of HMAC-SHA-256, which uses the key.
const minKeyBytes = 32

func hexKey(text string) (Key, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) < minKeyBytes {
		return "", fmt.Errorf(
			"must be at least %d bytes in hexadecimal, as `openssl rand -hex %d` prints them",
			minKeyBytes,
			minKeyBytes,
		)
	}
	return Key(raw), nil
}

// keysetJSON checks only the outer form. Package seal parses the keys.
func keysetJSON(text string) (string, error) {
	var keyset struct {
		PrimaryKeyID uint32            `json:"primaryKeyId"`
		Keys         []json.RawMessage `json:"key"`
	}
	if err := json.Unmarshal([]byte(text), &keyset); err != nil || keyset.PrimaryKeyID == 0 || len(keyset.Keys) == 0 {
		return "", errors.New("must be a Tink keyset in JSON, with primaryKeyId and key")
	}
	return text, nil
}
