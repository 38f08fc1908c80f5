package webhook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// The defaults of [ReceiverOptions].
const (
	DefaultTolerance   = 5 * time.Minute
	DefaultMaxBodySize = 1 << 20
)

// ReceiverOptions tunes a [Receiver]. The zero value, and nil, are ready to use.
type ReceiverOptions struct {
	// Ledger remembers handled notifications.
	//
	// Defaults to a [MemoryLedger].
	Ledger Ledger

	// Tolerance is the maximum difference between a delivery's timestamp and the
	// receiver's clock, in either direction. Within it an attacker can replay a recorded
	// delivery, and only the Ledger detects that.
	//
	// Defaults to [DefaultTolerance].
	Tolerance time.Duration

	// MaxBodySize is the maximum size of a delivery, in bytes.
	//
	// Defaults to [DefaultMaxBodySize], enough for the longest comment and ten thousand
	// recipients.
	MaxBodySize int64

	// Logger receives the errors of the handler. They are not sent to the sender.
	//
	// Defaults to [slog.Default].
	Logger *slog.Logger

	// Now is the clock.
	//
	// Defaults to [time.Now].
	Now func() time.Time
}

// withDefaults returns a completed copy.
func (o *ReceiverOptions) withDefaults() (ReceiverOptions, error) {
	var c ReceiverOptions
	if o != nil {
		c = *o
	}
	if c.Tolerance < 0 || c.MaxBodySize < 0 {
		return c, errors.New("webhook: Tolerance and MaxBodySize must not be negative")
	}
	c.Tolerance = cmp.Or(c.Tolerance, DefaultTolerance)
	c.MaxBodySize = cmp.Or(c.MaxBodySize, DefaultMaxBodySize)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	if c.Ledger == nil {
		c.Ledger = NewMemoryLedger(0)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Receiver is the [http.Handler] that receives the deliveries of a [Notifier]. It bounds
// the memory of a request; bound its time with ReadTimeout of the [http.Server].
type Receiver struct {
	secrets []Secret
	handle  func(context.Context, incident.Notification) error
	options ReceiverOptions
}

var _ http.Handler = (*Receiver)(nil)

// NewReceiver returns a Receiver of deliveries signed with any of secrets: two while a
// secret is rotated.
//
// The Receiver calls handle for each notification, of an activity or of a reminder, until
// the Ledger has recorded a success. Calls may be concurrent, and their context ends when
// the sender disconnects. The answer to an error of handle:
//
//   - 410 to an error that matches [ErrGone]. The sender stops, and sends no other
//     notification either.
//   - 503 with Retry-After to a [*incident.RetryAfterError]. The sender waits.
//   - 422 to an error that matches [incident.ErrUndeliverable].
//   - 500 to any other error, and to a panic.
//
// The sender repeats the notification, except after 410, and the later notifications of
// its incident wait. If a notification can never be handled, handle returns nil.
func NewReceiver(secrets []Secret, handle func(context.Context, incident.Notification) error, o *ReceiverOptions) (*Receiver, error) {
	c, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	secrets, err = checkSecrets(secrets)
	if err != nil {
		return nil, err
	}
	return &Receiver{secrets: secrets, handle: handle, options: c}, nil
}

// ServeHTTP implements [http.Handler].
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	n, err := r.receive(w, request)
	if err != nil {
		http.Error(w, err.Error(), err.status)
		return
	}
	ctx := request.Context()
	id := ID{n.Incident.OrganizationID, n.UUID()}
	_, failure := r.options.Ledger.Once(ctx, id, func(ctx context.Context) error { return r.call(ctx, n) })
	if failure == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	kind, of := "activity", any(n.Activity.Sequence)
	if n.Reminder != nil {
		kind, of = "reminder", n.Reminder.Name
	}
	r.options.Logger.ErrorContext(ctx, "webhook: a notification was not handled",
		"incident", n.Incident.Key().String(), kind, of, "notification", n.UUID(), "error", failure)
	fail(w, failure)
}

// refusal is the error of an invalid delivery. Its text is sent to the sender.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// receive returns the notification in a request, after checking its signature.
func (r *Receiver) receive(w http.ResponseWriter, request *http.Request) (incident.Notification, *refusal) {
	var none incident.Notification
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return none, &refusal{http.StatusMethodNotAllowed, "only POST is allowed"}
	}
	if err := r.checkHeaders(request.Header); err != nil {
		return none, &refusal{http.StatusBadRequest, err.Error()}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, r.options.MaxBodySize))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return none, &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", r.options.MaxBodySize)}
	}
	if err != nil {
		return none, &refusal{http.StatusRequestTimeout, "the body did not arrive"}
	}
	if !signed(r.secrets, request.Header, body) {
		return none, &refusal{http.StatusForbidden, "no signature is valid"}
	}
	return decode(request.Header.Get(HeaderID), body)
}

// checkHeaders returns an error if the headers cannot authenticate any body.
func (r *Receiver) checkHeaders(h http.Header) error {
	for _, name := range []string{HeaderID, HeaderTimestamp, HeaderSignature} {
		if len(h[name]) != 1 {
			return fmt.Errorf("want the header %s, once", name)
		}
	}
	sent, err := parseTimestamp(h.Get(HeaderTimestamp))
	if err != nil {
		return err
	}
	if age := r.options.Now().Sub(sent); age > r.options.Tolerance || age < -r.options.Tolerance {
		return errors.New("the timestamp is too far from the receiver's clock")
	}
	return checkSignatures(h.Get(HeaderSignature))
}

// decode parses a signed body. It ignores unknown fields, for compatibility with newer
// senders.
func decode(id string, body []byte) (n incident.Notification, r *refusal) {
	err := json.Unmarshal(body, &n)
	switch {
	case err != nil:
		return n, &refusal{http.StatusBadRequest, "the body is not a notification"}
	case n.UUID() == uuid.Nil || n.UUID().String() != id:
		return n, &refusal{http.StatusBadRequest, "the body is of another notification than " + HeaderID + " says"}
	case n.Incident.Identifier == 0, n.Reminder == nil && n.Activity.Incident != n.Incident.Key():
		return n, &refusal{http.StatusBadRequest, "the activity is of another incident"}
	}
	return n, nil
}

// call converts a panic of the handler into an error. Otherwise net/http would close the
// connection, and every [Ledger] would have to handle panics.
func (r *Receiver) call(ctx context.Context, n incident.Notification) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return r.handle(ctx, n)
}

// fail responds to a failed handler, as NewReceiver documents.
func fail(w http.ResponseWriter, err error) {
	later, ok := errors.AsType[*incident.RetryAfterError](err)
	switch {
	case errors.Is(err, ErrGone):
		http.Error(w, "no more notifications are wanted", http.StatusGone)
	case errors.Is(err, incident.ErrUndeliverable):
		http.Error(w, "the notification cannot be handled", http.StatusUnprocessableEntity)
	case ok:
		after := min(max(later.After, 0), MaxRetryAfter).Seconds()
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after))))
		http.Error(w, "the notification can be handled later", http.StatusServiceUnavailable)
	default:
		http.Error(w, "the notification was not handled", http.StatusInternalServerError)
	}
}
