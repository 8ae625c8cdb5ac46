package doctor_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/cmd/internal/admin"
	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
	"greenroom/cmd/internal/doctor"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// patient is an installation without workers. Only the tests' PostgreSQL is not sound: it runs without fsync.
type patient struct {
	*testing.T
	db      *bun.DB
	box     *seal.Box
	options doctor.Options
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	d, url := dbtest.NewURL(t)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	cfg, err := config.Load(nil)
	require.NoError(t, err)
	cfg, err = cfg.WithSecrets(strings.Repeat("ab", 32), keyset)
	require.NoError(t, err)
	cfg.Database.URL, cfg.Database.MaxConns = url, 4
	cfg.Temporal.Address, cfg.Temporal.Managed = os.Getenv("GREENROOM_TEST_TEMPORAL_ADDRESS"), true
	require.NotEmpty(t, cfg.Temporal.Address, "run the tests with `make test`")
	cfg.Media.Dir, cfg.Media.MinFree = t.TempDir(), 0
	box, err := seal.New(keyset)
	require.NoError(t, err)
	return &patient{T: t, db: d, box: box, options: doctor.Options{Config: cfg}}
}

func (p *patient) exec(statement string, args ...any) {
	p.Helper()
	_, err := p.db.ExecContext(p.Context(), statement, args...)
	require.NoError(p, err)
}

// hook adds an active webhook with a secret that box has sealed.
func (p *patient) hook(url string, box *seal.Box) {
	p.Helper()
	w := &delivery.Webhook{
		ID: pg.NewID(), Profile: "standard", URL: url, Events: []string{"ping"}, Headers: []delivery.WebhookHeader{},
		IsActive: true, MaxRetries: 3, TimeoutMS: 1000, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	sealed, err := box.Seal([]byte(strings.Repeat("s", 32)), w.ID, delivery.SecretField)
	require.NoError(p, err)
	w.SetSecret(sealed, w.CreatedAt)
	require.NoError(p, delivery.CreateWebhook(p.Context(), p.db, w))
}

// listen returns the address of a server that accepts connections.
func (p *patient) listen() string {
	p.Helper()
	ln, err := new(net.ListenConfig).Listen(p.Context(), "tcp", "127.0.0.1:0")
	require.NoError(p, err)
	p.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// closed returns an address that refuses connections.
func (p *patient) closed() string {
	p.Helper()
	ln, err := new(net.ListenConfig).Listen(p.Context(), "tcp", "127.0.0.1:0")
	require.NoError(p, err)
	require.NoError(p, ln.Close())
	return ln.Addr().String()
}

func TestExamine_finds_planted_faults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		plant       func(*patient)
		check       string
		state       doctor.State
		found, cure string
	}{
		"a_misspelled_variable": {
			func(p *patient) { p.options.Environ = []string{"GREENROOM_CIRCUIT_TRESHOLD=9"} },
			"settings", doctor.Warning, "GREENROOM_CIRCUIT_TRESHOLD is not a setting", "rename it to GREENROOM_CIRCUIT_THRESHOLD",
		},
		"no_secret": {
			func(p *patient) { p.options.Config.Secret = "" },
			"settings", doctor.Problem, "GREENROOM_SECRET is not set", "greenroom keys secrets",
		},
		"no_database": {
			func(p *patient) { p.options.Config.Database.URL = "" },
			"postgresql", doctor.Problem, "database.url is not set", "--dev-dir",
		},
		"a_database_that_does_not_answer": {
			func(p *patient) { p.options.Config.Database.URL = "postgres://u:geheim@" + p.closed() + "/x" },
			"postgresql", doctor.Problem, "connection refused", "start PostgreSQL at 127.0.0.1",
		},
		"a_database_that_does_not_exist": {
			func(p *patient) {
				url := p.options.Config.Database.URL
				p.options.Config.Database.URL = url[:strings.LastIndex(url, "/")] + "/nowhere?sslmode=disable"
			},
			"postgresql", doctor.Problem, "nowhere", "createdb nowhere, then greenroom migrate up",
		},
		"a_server_without_fsync": {
			func(*patient) {},
			"durability", doctor.Problem, "fsync is off", "ALTER SYSTEM SET fsync = on",
		},
		"commits_that_are_not_synchronous": {
			func(p *patient) {
				var name string
				require.NoError(p, p.db.NewRaw("SELECT current_database()").Scan(p.Context(), &name))
				p.exec("ALTER DATABASE ? SET synchronous_commit = off", bun.Ident(name))
			},
			"durability", doctor.Problem, "synchronous_commit is off", "ALTER SYSTEM SET synchronous_commit = on",
		},
		"a_missing_migration": {
			func(p *patient) {
				p.exec("DELETE FROM bun_migrations WHERE name = (SELECT max(name) FROM bun_migrations)")
			},
			"migrations", doctor.Problem, "migrations are missing", "greenroom migrate up",
		},
		"a_missing_partition": {
			func(p *patient) {
				p.exec("DROP TABLE ?", bun.Ident("deliveries_"+time.Now().UTC().AddDate(0, 0, 1).Format("20060102")))
			},
			"partitions", doctor.Problem, "missing: deliveries_", "greenroom migrate up",
		},
		"a_transaction_that_stores_events": {
			func(p *patient) {
				tx, err := p.db.BeginTx(p.Context(), nil)
				require.NoError(p, err)
				p.Cleanup(func() { _ = tx.Rollback() })
				_, err = tx.ExecContext(p.Context(),
					"SET LOCAL idle_in_transaction_session_timeout = 0; DELETE FROM events WHERE id = gen_random_uuid()")
				require.NoError(p, err)
				require.Eventually(p, func() bool {
					open, err := delivery.OpenTransactions(p.Context(), p.db, 5*time.Second)
					require.NoError(p, err)
					return len(open) > 0
				}, time.Minute, 100*time.Millisecond)
			},
			"transactions", doctor.Problem, "webhooks with ordering and the feed wait for it", "SELECT pg_terminate_backend(",
		},
		"idle_transactions_without_a_limit": {
			func(p *patient) { p.options.Config.Database.URL += "&idle_in_transaction_session_timeout=0" },
			"transactions", doctor.Warning, "idle_in_transaction_session_timeout is 0", "ALTER ROLE",
		},
		"a_clock_that_is_wrong": {
			func(p *patient) { p.options.Now = func() time.Time { return time.Now().Add(-time.Hour) } },
			"clock", doctor.Problem, "differs from PostgreSQL's by 1h0m0s", "timedatectl set-ntp true",
		},
		"another_keyset": {
			func(p *patient) {
				p.hook("https://a.example/", p.box)
				keyset, err := seal.NewKeyset()
				require.NoError(p, err)
				p.options.Config.Keyset = keyset
			},
			"sealing keys", doctor.Problem, "not this installation's", "set GREENROOM_KEYSET to that of the other processes",
		},
		"a_lost_key": {
			func(p *patient) {
				keyset, err := seal.NewKeyset()
				require.NoError(p, err)
				lost, err := seal.New(keyset)
				require.NoError(p, err)
				p.hook("https://a.example/", lost)
				p.hook("https://a.example/", p.box)
			},
			"sealing keys", doctor.Problem, "1 values are sealed with key", "greenroom webhooks rotate-secret",
		},
		"a_temporal_that_does_not_answer": {
			func(p *patient) { p.options.Config.Temporal.Address = p.closed() },
			"temporal", doctor.Problem, "does not answer", "correct GREENROOM_TEMPORAL_ADDRESS",
		},
		"a_namespace_that_does_not_exist": {
			func(p *patient) { p.options.Config.Temporal.Namespace = "nowhere" },
			"temporal namespace", doctor.Problem, "nowhere does not exist", "temporal operator namespace create --address",
		},
		"no_worker": {
			func(p *patient) { p.options.Config.Temporal.TaskQueue = "nobody" },
			"workers", doctor.Warning, "none polls the task queue nobody", "greenroom worker",
		},
		"a_receiver_with_an_unknown_name": {
			func(p *patient) { p.hook("https://receiver.invalid/", p.box) },
			"receivers", doctor.Problem, "receiver.invalid", "greenroom webhooks update",
		},
		"a_receiver_that_the_guard_blocks": {
			func(p *patient) { p.hook("https://10.0.0.1/", p.box) },
			"receivers", doctor.Problem, "private, local or reserved address", "GREENROOM_EGRESS_ALLOW_HTTP, _ALLOW_PRIVATE",
		},
		"a_receiver_that_is_stopped": {
			func(p *patient) {
				p.options.Config.Egress.AllowHTTP, p.options.Config.Egress.AllowLoopback = true, true
				p.hook("http://"+p.closed()+"/", p.box)
			},
			"receivers", doctor.Problem, "refused", "start the receiver",
		},
		"a_proxy_that_does_not_answer": {
			func(p *patient) {
				p.options.Config.Egress.AllowHTTP, p.options.Config.Egress.AllowLoopback = true, true
				p.options.Config.Egress.ProxyURL = "http://u:geheim@" + p.closed()
				p.hook("http://"+p.listen()+"/", p.box)
			},
			"receivers", doctor.Problem, "proxy cannot be reached", "GREENROOM_EGRESS_PROXY_URL",
		},
		"an_authority_file_that_does_not_exist": {
			func(p *patient) { p.options.Config.Egress.CAFile = "/nowhere.pem" },
			"receivers", doctor.Problem, "egress.ca_file: open /nowhere.pem", "the setting that the message names",
		},
		"a_mail_server_that_does_not_answer": {
			func(p *patient) { p.options.Config.SMTP.URL = "smtp://u:geheim@" + p.closed() },
			"mail", doctor.Problem, "refused", "GREENROOM_SMTP_URL",
		},
		"a_webhook_to_mail_about_without_a_mail_server": {
			func(p *patient) {
				p.hook("https://a.example/", p.box)
				p.exec("UPDATE webhooks SET notify_email = 'ops@acme.example'")
			},
			"mail", doctor.Warning, "1 webhooks and 0 companies have a notifyEmail", "GREENROOM_SMTP_URL",
		},
		"a_company_to_mail_without_a_mail_server": {
			func(p *patient) {
				p.exec("INSERT INTO companies (id, name, notify_email) VALUES (?, 'Acme', 'ops@acme.example')", pg.NewID())
			},
			"mail", doctor.Warning, "0 webhooks and 1 companies have a notifyEmail", "or remove the addresses",
		},
		"a_user_to_invite_without_a_mail_server": {
			func(p *patient) {
				company := pg.NewID()
				p.exec("INSERT INTO companies (id, name) VALUES (?, 'Acme')", company)
				p.exec(`INSERT INTO staff (id, company_id, username, email, account_type, invite_mail)
					VALUES (?, ?, 'ada', 'ada@acme.example', 'admin', true)`, pg.NewID(), company)
			},
			"mail", doctor.Warning, "wait to be mailed", "GREENROOM_SMTP_FROM",
		},
		"uploads_without_a_directory": {
			func(p *patient) {
				p.options.Config.Media.Dir = filepath.Join(p.TempDir(), "media")
				p.Cleanup(func() { require.NoDirExists(p, p.options.Config.Media.Dir) })
			},
			"uploads", doctor.Warning, "does not exist yet", "create it for the API's user",
		},
		"uploads_that_cannot_be_stored": {
			func(p *patient) {
				file := filepath.Join(p.TempDir(), "file")
				require.NoError(p, os.WriteFile(file, nil, 0o600))
				p.options.Config.Media.Dir = file
			},
			"uploads", doctor.Problem, "file", "set GREENROOM_MEDIA_DIR",
		},
		"a_full_file_system": {
			func(p *patient) { p.options.Config.Media.MinFree = 1 << 50 },
			"uploads", doctor.Problem, "less than media.min_free", "GREENROOM_MEDIA_MIN_FREE",
		},
		"a_bucket_that_does_not_answer": {
			func(p *patient) {
				p.options.Config.Media.S3 = config.S3{
					Endpoint: "http://" + p.closed(), Bucket: "bucket", Region: "r", AccessKey: "a", SecretKey: "geheim",
				}
			},
			"uploads", doctor.Problem, "refused", "GREENROOM_MEDIA_S3_ENDPOINT",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			fault.plant(p)
			findings := doctor.Examine(t.Context(), p.options)
			var named []string
			for _, f := range findings {
				assert.NotContains(t, f.Found+f.Cure, "geheim", "a password")
				if f.Check == fault.check && f.State == fault.state {
					named = append(named, f.Found+" → "+f.Cure)
				}
			}
			text := strings.Join(named, "\n")
			assert.Contains(t, text, fault.found)
			assert.Contains(t, text, fault.cure)
			assert.True(t, doctor.Broken(findings), "the tests' PostgreSQL alone is a problem")
		})
	}
}

func TestExamine_a_sound_installation(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.options.Config.Database.URL = durable(t)
	d, err := pg.Open(t.Context(), pg.Options{URL: p.options.Config.Database.URL})
	require.NoError(t, err)
	defer d.Close()
	_, err = db.Migrate(t.Context(), d)
	require.NoError(t, err)
	p.db = d
	p.options.Config.Egress.AllowHTTP, p.options.Config.Egress.AllowLoopback = true, true
	p.hook("http://"+p.listen()+"/", p.box)
	p.options.Config.SMTP.URL, p.options.Config.SMTP.From = "smtp://"+mailServer(t), "jobs@acme.example"

	findings := doctor.Examine(t.Context(), p.options)

	for _, f := range findings {
		if f.Check != "workers" && f.Check != "search attributes" {
			assert.Equal(t, doctor.OK, f.State, "%+v", f)
			assert.Empty(t, f.Cure)
		}
	}
	assert.False(t, doctor.Broken(findings))
	files, err := os.ReadDir(p.options.Config.Media.Dir)
	require.NoError(t, err)
	assert.Empty(t, files, "the small upload is deleted")
	var adopted int
	require.NoError(t, d.NewRaw("SELECT count(*) FROM keyset_check").Scan(t.Context(), &adopted))
	assert.Zero(t, adopted, "the keyset is not adopted")

	var out bytes.Buffer
	require.NoError(t, doctor.Print(admin.Printer{Out: &out}, []doctor.Finding{
		{
			Check: "clock",
			State: doctor.Problem,
			Found: "is wrong",
			Cure:  "mend it",
		},
		{Check: "mail", State: doctor.OK, Found: "fine"},
	}))
	assert.Equal(t, "problem  clock  is wrong\n                → mend it\nok       mail   fine\n", out.String())
}

// durable returns the URL of a PostgreSQL with fsync, unlike the tests' own.
func durable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "doctor-") // another user, who runs the server, may enter it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711))
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.WithoutCancel(t.Context()))) })
	return server.URL()
}

// mailServer returns the address of a server that answers.
func mailServer(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{}, nil }))
	server.Domain = "localhost"
	t.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(ln) }()
	return ln.Addr().String()
}

// session takes no mail.
type session struct{ smtp.Session }

func (session) Reset()        {}
func (session) Logout() error { return nil }
