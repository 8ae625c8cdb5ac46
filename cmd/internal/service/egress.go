package service

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"greenroom/activities/webhook"
	"greenroom/cmd/internal/config"
)

// EgressClient returns the client for the URLs of customers: webhooks and notifications.
func EgressClient(cfg config.Config) *webhook.Client {
	return webhook.NewClient(webhook.ClientOptions{
		AllowHTTP: cfg.Egress.AllowHTTP, AllowLoopback: cfg.Egress.AllowLoopback, AllowPrivate: cfg.Egress.AllowPrivate,
	})
}

// servicesClient returns the client for the operator's services: the provider, the analyser and the generator. It calls
// their configured hosts alone, over http and in private networks too, so that an internal service needs no egress
// setting, which would open the network to the URLs of customers. Link-local and metadata addresses stay blocked.
func servicesClient(cfg config.Config) (*webhook.Client, error) {
	options := webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true, AllowPrivate: true, Services: []string{}}
	for _, service := range []config.Service{cfg.Provider, cfg.Analysis, cfg.Generator} {
		if service.URL != "" {
			options.Services = append(options.Services, webhook.HostPort(service.URL))
		}
	}
	if cfg.Egress.ServicesCA == "" {
		return webhook.NewClient(options), nil
	}
	pem, err := os.ReadFile(cfg.Egress.ServicesCA)
	if err != nil {
		return nil, fmt.Errorf("egress.services_ca_file: %w", err)
	}
	if options.RootCAs, err = x509.SystemCertPool(); err != nil {
		return nil, fmt.Errorf("egress.services_ca_file: read the system's certificate authorities: %w", err)
	}
	if !options.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("egress.services_ca_file holds no PEM certificate")
	}
	return webhook.NewClient(options), nil
}
