package service

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"

	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
)

// CheckEgressURL returns what refuses the URLs that no request to a customer's URL may have, by their text.
func CheckEgressURL(cfg config.Config) func(string) error {
	return webhook.NewClient(egressOptions(cfg.Egress)).CheckURL
}

func egressOptions(e config.Egress) webhook.ClientOptions {
	return webhook.ClientOptions{AllowHTTP: e.AllowHTTP, AllowLoopback: e.AllowLoopback, AllowPrivate: e.AllowPrivate}
}

// egressClient returns the client for the URLs of customers: webhooks, their token endpoints, and notifications.
func egressClient(cfg config.Config, logger *slog.Logger) (*webhook.Client, error) {
	options := egressOptions(cfg.Egress)
	var err error
	if options.RootCAs, err = authorities("egress.ca_file", cfg.Egress.CAFile); err != nil {
		return nil, err
	}
	if cfg.Egress.ProxyURL != "" {
		if options.Proxy, err = url.Parse(cfg.Egress.ProxyURL); err != nil {
			return nil, errors.New("egress.proxy_url is not a URL") // the error would repeat the password
		}
	}
	if cfg.Egress.ClientCert != "" {
		c := &clientCertificate{cert: cfg.Egress.ClientCert, key: cfg.Egress.ClientKey, logger: logger}
		if err := c.read(); err != nil {
			return nil, fmt.Errorf("egress.client_cert_file: %w", err)
		}
		options.ClientCertificate = c.choose
	}
	return webhook.NewClient(options), nil
}

// servicesClient returns the client for the operator's services: the provider, the analyser and the generator. It calls
// their configured hosts alone, over http and in private networks too, so that an internal service needs no egress
// setting, which would open the network to the URLs of customers. Link-local and metadata addresses stay blocked. Its
// connections are direct: neither the egress proxy nor the client certificate is for them.
func servicesClient(cfg config.Config) (*webhook.Client, error) {
	options := webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, AllowPrivate: true, Services: []string{}}
	for _, service := range []config.Service{cfg.Provider, cfg.Analysis, cfg.Generator} {
		if service.URL != "" {
			options.Services = append(options.Services, webhook.HostPort(service.URL))
		}
	}
	var err error
	if options.RootCAs, err = authorities("egress.services_ca_file", cfg.Egress.ServicesCA); err != nil {
		return nil, err
	}
	return webhook.NewClient(options), nil
}

// authorities returns the system's certificate authorities and those of a PEM file; nil, the system's, without a file.
func authorities(setting, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the zero value of tls.Config.RootCAs
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("%s: read the system's certificate authorities: %w", setting, err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", setting)
	}
	return pool, nil
}

// clientCertificate is the certificate for receivers that ask for one. It reads its files at each such handshake, so a
// renewed certificate is used without a restart. While the files cannot be used, e.g. because only one of them is
// renewed, the last certificate that could is.
type clientCertificate struct {
	cert, key string // PEM files
	logger    *slog.Logger
	last      atomic.Pointer[tls.Certificate]
}

func (c *clientCertificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err == nil {
		c.last.Store(&pair)
	}
	return err
}

// choose implements tls.Config.GetClientCertificate. A receiver that does not accept the certificate gets none.
func (c *clientCertificate) choose(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if err := c.read(); err != nil {
		c.logger.WarnContext(info.Context(), "client certificate for receivers cannot be read: the last one is used",
			"error", err)
	}
	pair := c.last.Load()
	if info.SupportsCertificate(pair) != nil {
		return new(tls.Certificate), nil
	}
	return pair, nil
}
