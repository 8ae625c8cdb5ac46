package client

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/subosito/gotenv"
)

// Settings locate a running API.
type Settings struct {
	URL, APIKey string
	TemporalUI  string // empty: unknown
	// DevDir is the directory of the `greenroom dev` whose API it is; empty: it is another.
	DevDir string
	// SignIn makes a link that signs in to the console once and opens a page of it; nil: there is none.
	SignIn func(ctx context.Context, page string) (string, error)
}

// Page is the address of a page of the console, such as /deliveries/ID.
func (s Settings) Page(page string) string { return strings.TrimRight(s.URL, "/") + "/console" + page }

// Link is Page that also signs in, where that is possible.
func (s Settings) Link(ctx context.Context, page string) string {
	if s.SignIn != nil {
		if link, err := s.SignIn(ctx, page); err == nil {
			return link
		}
	}
	return s.Page(page)
}

// LoadSettings reads GREENROOM_URL, GREENROOM_API_KEY and GREENROOM_TEMPORAL_UI from the environment and, if they
// are not set there, from the file dev.env that `greenroom dev` writes to GREENROOM_DEV_DIR (default .data) when it is
// ready. The file's key is for the file's API alone: it is not sent to another URL.
func LoadSettings(getenv func(string) string) (Settings, error) {
	dir := getenv("GREENROOM_DEV_DIR")
	if dir == "" {
		dir = ".data"
	}
	path := filepath.Join(dir, "dev.env")
	file, err := gotenv.Read(path)
	if err != nil && !os.IsNotExist(err) {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	setting := func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return file[name]
	}
	s := Settings{
		URL: setting("GREENROOM_URL"), APIKey: setting("GREENROOM_API_KEY"), TemporalUI: setting("GREENROOM_TEMPORAL_UI"),
	}
	if !isAddress(s.URL) && s.URL != "" {
		return Settings{}, errors.New(
			"GREENROOM_URL or --url must be the address of the API, such as https://greenroom.example.com")
	}
	if getenv("GREENROOM_API_KEY") == "" &&
		strings.TrimRight(s.URL, "/") != strings.TrimRight(file["GREENROOM_URL"], "/") {
		return Settings{}, fmt.Errorf("there is no key for the API at %s: set --key or GREENROOM_API_KEY", s.URL)
	}
	if s.URL == "" || s.APIKey == "" {
		return Settings{}, fmt.Errorf(
			"start `make run` first: GREENROOM_URL and GREENROOM_API_KEY are neither in the environment nor in %s", path)
	}
	if strings.TrimRight(s.URL, "/") == strings.TrimRight(file["GREENROOM_URL"], "/") {
		s.DevDir = dir
	}
	return s, nil
}

// isAddress reports whether text is the address of a server, without a user and password.
func isAddress(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}
