// Package webhook carries notifications of package incident over HTTP, as Standard
// Webhooks 1.0.0 (https://www.standardwebhooks.com) has it: a [Notifier] posts them, and a
// [Receiver] takes them and acts on each once. Each of the two works with any other
// implementation at the other end.
//
// A host copies the package and changes what it needs to.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/incidentkit/incident"
)

// The defaults of [Options].
const (
	DefaultTimeout   = 10 * time.Second
	DefaultUserAgent = "incident-webhook/1.0 (+https://github.com/incidentkit/incident)"
)

// Options tunes a [Notifier]. The zero value, and nil, are ready to use.
type Options struct {
	// Transport makes the requests. It is where a host puts a proxy, a client certificate
	// or tracing and, where its customers set the URL, a dialer that refuses the addresses
	// of its own network.
	//
	// Defaults to one of the Notifier's own, which keeps connections for as many
	// deliveries at a time as a Manager makes by default.
	Transport http.RoundTripper

	// Timeout is how long a delivery may last, if its context does not end before.
	//
	// Defaults to [DefaultTimeout].
	Timeout time.Duration

	// AllowHTTP lets the URL be of plain HTTP. Without it that is for this machine alone:
	// the signature keeps a notification from being changed, not from being read.
	AllowHTTP bool

	// UserAgent is the header of that name.
	//
	// Defaults to [DefaultUserAgent].
	UserAgent string

	// Now is the clock.
	//
	// Defaults to [time.Now].
	Now func() time.Time
}

// withDefaults returns a completed copy.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	if c.Timeout < 0 {
		return c, errors.New("webhook: Timeout must not be negative")
	}
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.UserAgent = cmp.Or(c.UserAgent, DefaultUserAgent)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Notifier posts notifications to a URL, as JSON. It is safe for use by many goroutines.
//
// What the receiver answers decides:
//
//   - 2xx means that the notification was delivered.
//   - 408, 425, 429 and 5xx mean that it is to be tried again, as does an answer that does
//     not come. The Retry-After of 429 and 503 is heeded, up to [MaxRetryAfter].
//   - All else gives it up. Redirects are among that: to follow one would send what
//     happened, and a signature of it, where nobody has decided to, and most of them turn
//     a POST into a GET, whose 200 says nothing.
//
// Errors name the host and neither the path nor the query of the URL, which have secrets
// at some receivers.
type Notifier struct {
	url, host string
	secrets   []Secret
	transport http.RoundTripper
	own       *http.Transport // what Close closes; nil for a host's
	options   Options
}

var _ incident.Notifier = (*Notifier)(nil)

// NewNotifier returns a Notifier that signs with all of secrets. One is enough. To
// exchange it without a gap, let the receiver know the new one too, sign with the new one
// from then on, and let the receiver forget the old one; or, where the receiver knows one
// only, sign with both while it changes.
func NewNotifier(target string, secrets []Secret, o *Options) (*Notifier, error) {
	c, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	host, err := checkURL(target, c.AllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("webhook: the URL %w", err)
	}
	secrets, err = checkSecrets(secrets)
	if err != nil {
		return nil, err
	}
	n := &Notifier{url: target, host: host, secrets: secrets, transport: c.Transport, options: c}
	if n.transport == nil {
		n.own = newTransport()
		n.transport = n.own
	}
	return n, nil
}

// checkURL returns the host of a URL that may be posted to. Errors do not repeat the URL.
func checkURL(text string, allowHTTP bool) (host string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("cannot be understood")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("must begin with https://")
	case u.Hostname() == "":
		return "", errors.New("must have a host")
	case u.User != nil:
		return "", errors.New("must have no user and password; the signature is what tells the sender")
	case u.Fragment != "":
		return "", errors.New("must have no fragment, which is never sent")
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return "", errors.New("must begin with https://, or AllowHTTP be set")
	}
	return u.Host, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    incident.DefaultNotifyConcurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// Close closes the connections that are kept for later. Those of a Transport of the
// Options are the host's.
func (n *Notifier) Close() {
	if n.own != nil {
		n.own.CloseIdleConnections()
	}
}

// Notify implements [incident.Notifier].
func (n *Notifier) Notify(ctx context.Context, note incident.Notification) error {
	if err := n.post(ctx, note); err != nil {
		return fmt.Errorf("webhook: POST to %s: %w", n.host, err)
	}
	return nil
}

func (n *Notifier) post(ctx context.Context, note incident.Notification) error {
	body, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("%w: %w", incident.ErrUndeliverable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.Timeout)
	defer cancel()
	request, err := n.request(ctx, note.Activity.NotificationUUID.String(), body)
	if err != nil {
		return err
	}
	// Not by an http.Client, for all that it would add: it follows redirects, fails for
	// those that it cannot follow, and puts the URL into its errors.
	answer, err := n.transport.RoundTrip(request)
	if err != nil {
		return withoutURL(err)
	}
	defer time.AfterFunc(drainTime, cancel).Stop()
	defer answer.Body.Close()
	return outcome(answer, n.options.Now())
}

func (n *Notifier) request(ctx context.Context, id string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	timestamp := formatTimestamp(n.options.Now())
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", n.options.UserAgent)
	r.Header.Set(HeaderID, id)
	r.Header.Set(HeaderTimestamp, timestamp)
	r.Header.Set(HeaderSignature, formatSignatures(n.secrets, id, timestamp, body))
	// For gateways that know this header. It also has net/http try again by itself when a
	// connection that it kept turns out to be closed, which it does for no other POST.
	r.Header.Set("Idempotency-Key", id)
	return r, nil
}

// withoutURL is the cause of an error of net/url or of a Transport that has a client
// inside, both of which put the URL before it.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
