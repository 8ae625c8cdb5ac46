package listen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// RunOptions configures Run.
type RunOptions struct {
	Options
	// Addr is the address to listen on; port 0 takes a free one.
	Addr string
	// Register is the webhook that the receiver registers for itself; nil: none.
	Register *Registration
	JSON     bool
	// Link makes a link to a page of the console; nil: the API is not known.
	Link func(ctx context.Context, page string) string
	// Out gets the deliveries alone, so that it can be piped; Log gets the rest.
	Out, Log io.Writer
}

// Run receives webhooks until ctx ends, and then deletes the webhook that it has registered.
func Run(ctx context.Context, o RunOptions) (err error) {
	print, last := NewPrinter(o.Out, o.JSON).Print, ""
	o.OnDelivery = func(d Delivery) {
		print(d)
		last = d.ID
	}
	if o.Register != nil {
		o.AwaitSecret, o.Accept = true, http.StatusOK // which every profile takes for a success
	}
	receiver, err := New(o.Options)
	if err != nil {
		return err
	}
	srv, err := Serve(context.WithoutCancel(ctx), o.Addr, receiver)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --addr, such as 127.0.0.1:0", err)
	}
	defer func() {
		err = errors.Join(err, srv.Close())
		NewPrinter(o.Log, false).PrintSummary(receiver.Summary())
		if o.Link != nil && last != "" {
			fmt.Fprintf(o.Log, "The last one: %s\n", o.Link(context.WithoutCancel(ctx), "/deliveries/"+url.PathEscape(last)))
		}
	}()
	if f := receiver.forwarder; f != nil && srv.URL == "http://"+f.target.Host+"/" {
		return errors.New("the URL to forward to is this receiver's own")
	}
	fmt.Fprintf(o.Log, "Listening for webhooks on %s (Ctrl-C ends)\n", srv.URL)
	if o.Register != nil {
		hook, refused := register(ctx, *o.Register, srv.URL, receiver, o.Log)
		if refused != nil {
			return refused
		}
		defer func() { err = errors.Join(err, unregister(ctx, hook, o.Log)) }()
	} else if o.Secret == "" {
		fmt.Fprintln(o.Log, "Deliveries are not verified: no --secret")
	}
	return srv.Wait(ctx)
}

// register registers the receiver at its own address, unless the API reaches it at another one.
func register(ctx context.Context, r Registration, own string, receiver *Receiver, log io.Writer) (*Registered, error) {
	if r.URL == "" {
		r.URL = own
	}
	hook, err := Register(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := receiver.SetSecret(hook.Secret); err != nil {
		return nil, errors.Join(fmt.Errorf("register: the API's answer has no usable signingSecret: %w", err),
			hook.Delete(ctx))
	}
	receiver.SetForwardWait(max(hook.Timeout-time.Second, time.Second)) // before the sender gives up
	how := "registered"
	if hook.IsTakenOver {
		how = "taken over from an earlier receiver"
	}
	fmt.Fprintf(log, "Webhook %s %s, for %d events of %s\n", hook.ID, how, len(hook.Events), hostOf(r.Settings.URL))
	fmt.Fprintf(log, "Signing secret: %s\n", hook.Secret)
	return hook, nil
}

func hostOf(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.Host != "" {
		return u.Host
	}
	return raw
}

func unregister(ctx context.Context, hook *Registered, log io.Writer) error {
	if err := hook.Delete(ctx); err != nil {
		return fmt.Errorf("%w; the next `greenroom listen --register` on this machine takes it over", err)
	}
	fmt.Fprintf(log, "Webhook %s deleted\n", hook.ID)
	return nil
}
