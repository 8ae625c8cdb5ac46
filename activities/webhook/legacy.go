package webhook

import "fmt"

const userAgent = UserAgent

var profiles = []*Profile{&instaview, &standard}

// ProfileByName returns the profile of that name, or an error that wraps ErrUnknownProfile.
func ProfileByName(name string) (*Profile, error) {
	for _, p := range profiles {
		if p.Name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrUnknownProfile, name)
}

// ProfileNames returns the names of all profiles; the first is the default of the webhooks API.
func ProfileNames() []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return names
}

func success2xx(status int) bool { return Success2xx(status) }
