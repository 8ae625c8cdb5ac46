package service

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
)

// EgressClient returns the client for the URLs of customers: webhooks and notifications.
func EgressClient(cfg config.Config) *webhook.Client {
	return webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: cfg.Egress.AllowHTTP, AllowLoopback: cfg.Egress.AllowLoopback, AllowPrivate: cfg.Egress.AllowPrivate,
	})
}

// servicesClient returns the client for the operator's services: the provider, the analyser and the generator.
func servicesClient(cfg config.Config) (*webhook.Client, error) {
	var urls []string
	for _, service := range []config.Service{cfg.Provider, cfg.Analysis, cfg.Generator} {
		if service.URL != "" {
			urls = append(urls, service.URL)
		}
	}
	roots, err := servicesCAs(cfg)
	if err != nil {
		return nil, err
	}
	return operatorClient(roots, hostPorts(urls)), nil
}

// operatorClient returns a client for services of the operator. It calls these hosts alone, over http and in private
// networks too, so that an internal service needs no egress setting, which would open the network to the URLs of
// customers. Link-local and metadata addresses stay blocked.
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

// mailServer returns the configured mail server, reached like the other services.
func mailServer(cfg config.Config) (activities.MailServer, error) {
	server := activities.MailServer{URL: cfg.SMTP.URL, From: cfg.SMTP.From}
	if server.URL == "" {
		return server, nil
	}
	address, err := server.Address()
	if err != nil {
		return server, err
	}
	if server.RootCAs, err = servicesCAs(cfg); err != nil {
		return server, err
	}
	server.Dial = operatorClient(nil, []string{address}).DialContext
	return server, nil
}

// servicesCAs returns the system's certificate authorities and those of egress.services_ca_file; nil without the file.
func servicesCAs(cfg config.Config) (*x509.CertPool, error) {
	if cfg.Egress.ServicesCA == "" {
		return nil, nil //nolint:nilnil // nil is the system's
	}
	pem, err := os.ReadFile(cfg.Egress.ServicesCA)
	if err != nil {
		return nil, fmt.Errorf("egress.services_ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("egress.services_ca_file: read the system's certificate authorities: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("egress.services_ca_file holds no PEM certificate")
	}
	return roots, nil
}
