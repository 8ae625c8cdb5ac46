package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"greenroom/activities/webhook"
	"greenroom/api/media"
	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/service"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

const (
	// mostReceivers bounds the connections to receivers.
	mostReceivers = 100
	atOnce        = 10
)

// receivers connects to the hosts of active webhooks, as an attempt does, and sends nothing.
func (e *examination) receivers(ctx context.Context) {
	const check = "receivers"
	if !e.migrated {
		e.skip(check, "needs the tables")
		return
	}
	client, err := service.EgressClient(e.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		e.problem(check, "correct the setting that the message names", "%s", oneLine(err))
		return
	}
	defer client.CloseIdleConnections()
	hooks, err := delivery.ListWebhooks(ctx, e.db, pg.Scope{})
	if err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	var endpoints []delivery.Webhook
	for _, w := range hooks {
		known := slices.ContainsFunc(endpoints, func(o delivery.Webhook) bool { return delivery.SameOrigin(o.URL, w.URL) })
		if w.IsActive && !known && len(endpoints) < mostReceivers {
			endpoints = append(endpoints, w)
		}
	}
	type failure struct{ kind, text string }
	failures := make([]failure, len(endpoints))
	g := new(errgroup.Group)
	g.SetLimit(atOnce)
	for i := range endpoints {
		g.Go(func() error {
			failures[i].kind, failures[i].text = client.Reach(ctx, endpoints[i].URL)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	reached := 0
	for i, f := range failures {
		if f.kind == webhook.KindNone {
			reached++
			continue
		}
		w := endpoints[i]
		e.problem(check, receiverCure(f.kind, w.ID), "%s, of webhook %s: %s", webhook.Host(w.URL), w.ID, f.text)
	}
	if reached == len(endpoints) {
		e.ok(check, "all %d hosts of active webhooks are reached", reached)
	}
}

// receiverCure says what mends a failure to connect to a webhook's host.
func receiverCure(kind webhook.ErrorKind, hook admin.ID) string {
	change := fmt.Sprintf("greenroom webhooks update %s --endpoint URL", hook)
	switch kind {
	case webhook.KindBlocked:
		return change + ", or allow it: GREENROOM_EGRESS_ALLOW_HTTP, _ALLOW_PRIVATE or _ALLOW_LOOPBACK=true"
	case webhook.KindDNS:
		return change + ", or correct the name, or the resolver of this machine (/etc/resolv.conf)"
	case webhook.KindTLS:
		return "the receiver corrects its certificate; for an authority of your own: GREENROOM_EGRESS_CA_FILE"
	case webhook.KindProxy:
		return "correct GREENROOM_EGRESS_PROXY_URL, or let the proxy connect to this host"
	}
	return change + ", or open the firewall for this machine, or start the receiver"
}

// mail connects to the mail server.
func (e *examination) mail(ctx context.Context) {
	const check = "mail"
	if e.Config.SMTP.URL == "" {
		e.withoutMail(ctx, check)
		return
	}
	server, err := service.MailServer(e.Config)
	if err == nil {
		err = server.Check(ctx)
	}
	if err != nil {
		e.problem(check, "correct GREENROOM_SMTP_URL; for an authority of your own: GREENROOM_EGRESS_SERVICES_CA_FILE",
			"%s", oneLine(err))
		return
	}
	e.ok(check, "the server answers")
}

// withoutMail warns of mail that is wanted while no server is set.
func (e *examination) withoutMail(ctx context.Context, check string) {
	const unset = "smtp.url is not set"
	if !e.migrated {
		e.skip(check, unset+": no invitation is mailed, and nothing to a notifyEmail")
		return
	}
	wanted, err := db.WantsMail(ctx, e.db)
	if err != nil {
		e.problem(check, "see PostgreSQL's log", "%s", oneLine(err))
		return
	}
	const cure = "set GREENROOM_SMTP_URL and GREENROOM_SMTP_FROM for API and workers"
	if wanted.Webhooks+wanted.Companies > 0 {
		e.warn(check, cure+", or remove the addresses", "%s, and %d webhooks and %d companies have a notifyEmail: nothing "+
			"is mailed to them", unset, wanted.Webhooks, wanted.Companies)
	}
	if wanted.Invitations || wanted.Activations {
		e.warn(check, cure, "%s, and invitations of candidates or users wait to be mailed", unset)
	}
	if wanted == (db.MailWanted{}) {
		e.skip(check, unset+": no invitation is mailed, and nothing to a notifyEmail")
	}
}

// media stores a file and deletes it. It makes no directory: as another user's, it would keep the API out.
func (e *examination) media(ctx context.Context) {
	const check = "uploads"
	s3 := e.Config.Media.S3
	place, cure := e.Config.Media.Dir, "give the API's user the directory, or set GREENROOM_MEDIA_DIR"
	if s3.Endpoint != "" {
		place, cure = s3.Bucket+" at "+s3.Endpoint, "create the bucket, and correct GREENROOM_MEDIA_S3_ENDPOINT, _BUCKET, "+
			"_REGION, _ACCESS_KEY and _SECRET_KEY"
	}
	if _, err := os.Stat(place); s3.Endpoint == "" && errors.Is(err, fs.ErrNotExist) {
		e.warn(check, "create it for the API's user, or leave it to the API if its user may", "%s does not exist yet", place)
		return
	}
	store, err := service.MediaStore(ctx, e.Config)
	if err != nil {
		e.problem(check, cure, "%s", oneLine(err))
		return
	}
	name := "doctor-" + pg.NewID().String()
	const content = "greenroom doctor"
	_, err = store.Put(ctx, name, strings.NewReader(content), int64(len(content)))
	if err == nil {
		err = store.Delete(ctx, name)
	}
	switch {
	case errors.Is(err, media.ErrFull):
		e.problem(check, "free space, or lower GREENROOM_MEDIA_MIN_FREE", "%s has less than media.min_free free", place)
	case err != nil:
		e.problem(check, cure, "%s", oneLine(err))
	default:
		e.ok(check, "%s is writable", place)
	}
}
