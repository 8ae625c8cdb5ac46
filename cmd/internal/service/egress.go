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

	"greenroom/activities"
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

// EgressClient returns the client for the URLs of customers: webhooks, their token endpoints, and notifications.
func EgressClient(cfg config.Config, logger *slog.Logger) (*webhook.Client, error) {
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

// servicesClient returns the client for the operator's services: provider, analyser, generator, sourcing service and
// extractor.
func servicesClient(cfg config.Config) (*webhook.Client, error) {
	var urls []string
	for _, service := range []config.Service{cfg.Provider, cfg.Analysis, cfg.Generator, cfg.Sourcing, cfg.Extractor} {
		if service.URL != "" {
			urls = append(urls, service.URL)
		}
	}
	roots, err := authorities(servicesCASetting, cfg.Egress.ServicesCA)
	if err != nil {
		return nil, err
	}
	return operatorClient(roots, hostPorts(urls)), nil
}

const servicesCASetting = "egress.services_ca_file"

// operatorClient returns a client for services of the operator. It calls these hosts alone, over http and in private
// networks too, so that an internal service needs no egress setting, which would open the network to the URLs of
// customers. Link-local and metadata addresses stay blocked. Its connections are direct: neither the egress proxy nor
// the client certificate is for them.
func operatorClient(roots *x509.CertPool, hosts []string) *webhook.Client {
	return webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: true, AllowLoopback: true, AllowPrivate: true, Services: hosts, RootCAs: roots,
	})
}

// hostPorts is never nil: a client without services calls none.
func hostPorts(urls []string) []string {
	hosts := []string{}
	for _, u := range urls {
		hosts = append(hosts, webhook.HostPort(u))
	}
	return hosts
}

// MailServer returns the configured mail server, reached like the other services.
func MailServer(cfg config.Config) (activities.MailServer, error) {
	server := activities.MailServer{URL: cfg.SMTP.URL, From: cfg.SMTP.From}
	if server.URL == "" {
		return server, nil
	}
	address, err := server.Address()
	if err != nil {
		return server, err
	}
	if server.RootCAs, err = authorities(servicesCASetting, cfg.Egress.ServicesCA); err != nil {
		return server, err
	}
	server.Dial = operatorClient(nil, []string{address}).DialContext
	return server, nil
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
