// Package webhook carries notifications of package incident over HTTP, as Standard
// Webhooks 1.0.0 (https://www.standardwebhooks.com) specifies: a [Notifier] posts them,
// and a [Receiver] verifies them and handles each once. Both interoperate with other
// implementations.
//
//	incidents, err := incident.New(store, &incident.Options{
//		Notifier: notifier,
//		Notify:   webhook.NotifyOptions(),
//	})
//
// A Notifier posts to one URL. For several, a host names each:
//
//	incidents, err := incident.New(store, &incident.Options{
//		Notifiers: map[string]incident.NamedNotifier{
//			"status page": {Notifier: statusPage, Notify: webhook.NotifyOptions()},
//			"chat":        {Notifier: chat, Notify: webhook.NotifyOptions()},
//		},
//	})
//
// Each then has deliveries, attempts and parked notifications of its own: a URL that fails, or
// responds 410, delays no other. An activity has the same UUID for all of them, so that their
// receivers must not share a [Ledger].
//
// Signatures are symmetric, of version v1: HMAC-SHA256 with a [Secret] that sender and receiver
// share. The package imports the standard library and package incident only; the tests of
// examples/webhook compare it with the reference implementation in Go.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/incidentkit/incident"
)

// The defaults of [Options].
const (
	DefaultTimeout   = 20 * time.Second
	DefaultUserAgent = "incident-webhook/1.0 (+https://github.com/incidentkit/incident)"
)

// Options tunes a [Notifier]. The zero value, and nil, are ready to use.
type Options struct {
	// Transport makes the requests. Use it for a proxy, a client certificate or tracing.
	// If customers choose the URL, use a dialer that refuses addresses of the host's own
	// network.
	//
	// Defaults to a transport that keeps as many connections as a Manager makes
	// deliveries at a time by default.
	Transport http.RoundTripper

	// Timeout is the longest duration of a delivery. The standard recommends 15 to 30 s.
	// The context may end a delivery earlier: [incident.NotifyOptions.Timeout] must be
	// longer, as that of [NotifyOptions] is.
	//
	// Defaults to [DefaultTimeout].
	Timeout time.Duration

	// AllowHTTP permits a URL with plain HTTP. Otherwise only loopback addresses may use
	// it: the signature prevents changes, not reading.
	AllowHTTP bool

	// UserAgent is the value of the User-Agent header.
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

// Notifier posts notifications to a URL. The body is the JSON of the notification with two
// more members, the type of the event and its timestamp:
//
//	{"type":"incident.comment","timestamp":"2026-03-14T02:31:00Z","activity":{…},"incident":{…},…}
//
// Each type of activity has such an event type. A reminder has the type incident.reminder,
// and its At as the timestamp. A Notifier is safe for concurrent use.
//
// The response decides the outcome:
//
//   - 2xx: delivered.
//   - 410: given up, with [ErrGone]. Later notifications are given up without a request,
//     until a replayed notification is delivered.
//   - Anything else, or no response: retried. Notifier respects Retry-After, up to
//     [MaxRetryAfter].
//
// Redirects are not followed. Following them would send the notification and its
// signature to a URL that nobody configured. Also, most redirects turn POST into GET, and
// a 200 to that means nothing.
//
// Errors contain the host but not the path or the query of the URL, because some
// receivers put secrets there.
type Notifier struct {
	url, host string
	secrets   []Secret
	transport http.RoundTripper
	own       *http.Transport // closed by Close; nil if the host set Transport
	options   Options
	gone      *atomic.Bool // the last response was 410
}

var _ incident.Notifier = (*Notifier)(nil)

// NewNotifier returns a Notifier that signs with all secrets; usually there is a single
// secret. To rotate it without a gap:
//
//  1. Add the new secret to the receiver.
//  2. Sign with the new secret.
//  3. Remove the old secret from the receiver.
//
// If the receiver knows only a single secret, sign with both while it changes.
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
	n := &Notifier{url: target, host: host, secrets: secrets, transport: c.Transport, options: c, gone: new(atomic.Bool)}
	if n.transport == nil {
		n.own = newTransport()
		n.transport = n.own
	}
	return n, nil
}

// checkURL returns the host of a valid target. Its errors do not contain the URL.
func checkURL(text string, allowHTTP bool) (host string, err error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", errors.New("cannot be parsed")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("must begin with https://")
	case u.Hostname() == "":
		return "", errors.New("must have a host")
	case u.User != nil:
		return "", errors.New("must have no user and password; the signature authenticates the sender")
	case u.Fragment != "":
		return "", errors.New("must have no fragment, because it is never sent")
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

// Close closes idle connections, except those of a Transport in the Options.
func (n *Notifier) Close() {
	if n.own != nil {
		n.own.CloseIdleConnections()
	}
}

// Notify implements [incident.Notifier].
func (n *Notifier) Notify(ctx context.Context, note incident.Notification) error {
	if n.gone.Load() && !note.Replayed {
		return fmt.Errorf("webhook: no POST to %s: %w", n.host, ErrGone)
	}
	err := n.post(ctx, note)
	if err != nil {
		err = fmt.Errorf("webhook: POST to %s: %w", n.host, err)
	}
	if err == nil || errors.Is(err, ErrGone) {
		n.gone.Store(err != nil)
	}
	return err
}

func (n *Notifier) post(ctx context.Context, note incident.Notification) error {
	body, err := encode(note)
	if err != nil {
		return fmt.Errorf("%w: %w", incident.ErrUndeliverable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.Timeout)
	defer cancel()
	request, err := n.request(ctx, note.UUID().String(), body)
	if err != nil {
		return err
	}
	// An http.Client would follow redirects, fail for malformed redirects, and put the
	// URL into its errors.
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
	now := n.options.Now()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", n.options.UserAgent)
	r.Header.Set(HeaderID, id)
	r.Header.Set(HeaderTimestamp, formatTimestamp(now))
	r.Header.Set(HeaderSignature, formatSignatures(n.secrets, id, now, body))
	// Some gateways use this header. It also lets net/http retry by itself if a kept
	// connection turns out to be closed, unlike for any other POST.
	r.Header.Set("Idempotency-Key", id)
	return r, nil
}

// withoutURL unwraps a *url.Error, whose text has the URL. net/url returns it, and so do
// transports that contain a client.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
