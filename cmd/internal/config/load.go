package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cast"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// Load reads and checks every setting. Its error has one line for each invalid setting;
// it does not contain values of secrets. flags may be nil; only those added by AddFlags are read.
func Load(flags *pflag.FlagSet) (Config, error) {
	v, err := sources(flags)
	if err != nil {
		return Config{}, err
	}
	c := Config{explicit: map[string]bool{}}
	faults := unknownKeys(v)
	for _, s := range settings {
		faults = append(faults, s.load(v, &c))
	}
	faults = append(
		faults,
		c.readKeysetFile(),
		c.checkSecrets(),
		c.checkMail(),
		c.checkS3(),
		c.checkClientCert(),
		c.checkOIDC(),
	)
	if effective, err := EffectiveSettings(flags); err == nil { // the same sources have been read
		c.effective = effective
	}
	if c.HTTP.PublicURL == "" {
		c.HTTP.PublicURL = "http://" + reachable(c.HTTP.Addr)
	}
	return c, errors.Join(faults...)
}

// AddFlags adds --config and a flag for each of the named settings: http.addr is --http-addr; the
// ports of `greenroom dev` are without "dev".
func AddFlags(flags *pflag.FlagSet, names ...string) {
	flags.String("config", "", "YAML file with settings (see: greenroom help settings)")
	for _, name := range names {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.Name == name })
		flags.String(flagName(name), settings[i].Default, settings[i].Meaning)
	}
}

// Require returns an error with one line for each of the named settings that is empty. A sub-command calls it for the
// settings that it needs.
func (c Config) Require(names ...string) error {
	var faults []error
	for _, s := range settings {
		if slices.Contains(names, s.Name) && s.empty(&c) {
			faults = append(faults, fmt.Errorf("%s is not set: set %s: %s", s.Name, s.Env, s.Meaning))
		}
	}
	return errors.Join(faults...)
}

// WithSecrets sets the secret (hexadecimal) and the keyset if they are not set, with the same checks.
func (c Config) WithSecrets(secret, keyset string) (Config, error) {
	var errs [2]error
	if c.Secret == "" {
		c.Secret, errs[0] = hexKey(secret)
	}
	if c.Keyset == "" {
		c.Keyset, errs[1] = keysetJSON(keyset)
	}
	return c, errors.Join(errs[:]...)
}

func flagName(name string) string {
	if strings.HasSuffix(name, "_port") {
		name = strings.TrimPrefix(name, "dev.")
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(name)
}

func sources(flags *pflag.FlagSet) (*viper.Viper, error) {
	v := viper.New()
	v.SetEnvPrefix("greenroom")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	if flags != nil {
		for _, name := range append([]string{"config"}, names()...) {
			flag := flags.Lookup(flagName(name))
			if flag == nil {
				continue
			}
			if err := v.BindPFlag(name, flag); err != nil {
				return nil, fmt.Errorf("read flag --%s: %w", flag.Name, err)
			}
		}
	}
	if path := v.GetString("config"); path != "" {
		v.SetConfigFile(path)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return nil, fmt.Errorf("read the settings in %s: %w", path, err)
		}
	}
	return v, nil
}

func names() []string {
	list := make([]string, len(settings))
	for i, s := range settings {
		list[i] = s.Name
	}
	return list
}

// unknownKeys returns an error for each unknown key in the file, such as a misspelled setting.
func unknownKeys(v *viper.Viper) []error {
	var faults []error
	for _, key := range v.AllKeys() {
		if key != "config" && !slices.Contains(names(), key) {
			faults = append(faults, fmt.Errorf("%s is not a setting: see greenroom help settings", key))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return faults
}

func (s setting) load(v *viper.Viper, c *Config) error {
	text := s.Default
	if v.IsSet(s.Name) {
		given, err := cast.ToStringE(v.Get(s.Name))
		if err != nil {
			return fmt.Errorf("%s (%s) must be a single value", s.Name, s.Env)
		}
		if given != "" { // an empty value selects the default, as an empty environment variable does
			text, c.explicit[s.Name] = given, true
		}
	}
	if text == "" {
		return nil
	}
	err := s.set(c, text)
	switch {
	case err == nil:
		return nil
	case s.hidden:
		return fmt.Errorf("%s (%s) %w", s.Name, s.Env, err)
	default:
		return fmt.Errorf("%s (%s) %w, not %q", s.Name, s.Env, err, text)
	}
}

func (c *Config) readKeysetFile() error {
	if c.keysetFile == "" {
		return nil
	}
	if c.explicit["keyset"] {
		return errors.New("keyset and keyset_file are both set: remove one of them")
	}
	data, err := os.ReadFile(c.keysetFile)
	if err != nil {
		return fmt.Errorf("keyset_file (%s) cannot be read: %w", envName("keyset_file"), err)
	}
	if c.Keyset, err = keysetJSON(string(data)); err != nil {
		return fmt.Errorf("keyset_file (%s) %w", envName("keyset_file"), err)
	}
	return nil
}

// checkSecrets refuses a rotation to a value that is in use: it would replace nothing.
func (c *Config) checkSecrets() error {
	same := func(a, b Key) bool { return a != "" && a == b }
	if same(c.Secret, c.SecretNext) || same(c.Secret, c.SecretPrevious) || same(c.SecretNext, c.SecretPrevious) {
		return errors.New("secret, secret_next and secret_previous must differ")
	}
	return nil
}

// checkMail requires a sender: otherwise the server would refuse every mail, perhaps days later.
func (c *Config) checkMail() error {
	if c.SMTP.URL == "" || c.SMTP.From != "" {
		return nil
	}
	return fmt.Errorf("smtp.from (%s) is required with smtp.url", envName("smtp.from"))
}

// checkOIDC refuses a provider without what a sign-in needs.
func (c *Config) checkOIDC() error {
	if c.Console.OIDCIssuer == "" {
		return nil
	}
	if c.Console.OIDCClientID == "" || c.Console.OIDCAccess == "" || !c.Explicit("http.public_url") {
		return errors.New(
			"console.oidc_client_id, console.oidc_access and http.public_url are required with console.oidc_issuer",
		)
	}
	return nil
}

// checkClientCert refuses a certificate without its key.
func (c *Config) checkClientCert() error {
	if (c.Egress.ClientCert == "") != (c.Egress.ClientKey == "") {
		return errors.New("egress.client_cert_file and egress.client_key_file go together: set both or none")
	}
	return nil
}

// checkS3 refuses incomplete settings of a bucket: files would silently go to the directory instead.
func (c *Config) checkS3() error {
	s := c.Media.S3
	all := []string{s.Endpoint, s.Bucket, s.AccessKey, s.SecretKey}
	if slices.Contains(all, "") && slices.ContainsFunc(all, func(v string) bool { return v != "" }) {
		return errors.New(
			"media.s3_endpoint, media.s3_bucket, media.s3_access_key and media.s3_secret_key go together: set all of them or " +
				"none",
		)
	}
	return nil
}

// reachable converts an address to listen on to one for clients: an unspecified host becomes localhost.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
