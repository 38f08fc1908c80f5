// Package events receives events in the form of PagerDuty's Events API v2. Many monitoring tools can
// send them: their configuration names the URL of a host instead of PagerDuty's.
//
//	endpoint, err := events.New(incidents, &events.Options{Routes: []events.Route{{
//		Key:            os.Getenv("ROUTING_KEY"),
//		OrganizationID: "acme",
//		ProjectID:      "checkout",
//	}}})
//	if err != nil {
//		log.Fatal(err)
//	}
//	mux.Handle("/v2/enqueue", endpoint)
//
// The routing key of an event selects a [Route]. The dedup_key of the event selects the slot of the
// incident:
//
//   - trigger fires the trigger [Trigger] of the slot: see [incident.TriggerManager].
//   - resolve resolves it, and so closes the incident.
//   - acknowledge acknowledges the active incident of the slot. Without an active incident it changes
//     nothing.
//
// # Fields
//
// The summary becomes the title: see [incident.NormalizeTitle]. The severities critical and error
// become [incident.StatusCritical], and warning and info [incident.StatusWarning]. A repeated trigger
// can raise and lower the severity, but the title, labels and annotations stay those of the trigger
// that opened the incident.
//
// Source, component, group and class become labels of that name. Annotations have the rest: client and
// client_url, each link and image with an http or https URL under the name of its text, and the members
// of custom_details, as text or as JSON. Passwords in links are removed. Texts are cut to the limits of
// package incident. An annotation "omitted" counts the members without room.
//
// # Time and repetition
//
// Repeating an event is safe. A trigger of an active incident, an acknowledgement of an acknowledged
// incident, and a resolve of a closed incident change nothing. A trigger without a dedup_key gets the
// key that is the hash of its fields, so that its repetitions get the same key. PagerDuty would make
// an incident of each.
//
// An event with a timestamp has a place in time:
//
//   - Events are in order by the rules of [incident.TriggerManager]. A trigger that is older than the
//     last resolve by more than [Options.Tolerance] changes nothing.
//   - A repeated trigger opens no second incident after the first was closed.
//   - A repeated acknowledgement does not acknowledge again after it was withdrawn.
//
// An event without a timestamp is as of its arrival: a trigger that is delayed until after the resolve
// opens an incident. The order of events is right only if all timestamps come from a clock that is
// right. A trigger of a clock that is slower than the tolerance, soon after a resolve without a
// timestamp, seems to be older: see [Route.IgnoreTimestamps].
//
// Timestamps are in RFC 3339, or in another form of ISO 8601: the zone without a colon or without
// minutes, the time without seconds. Without a zone or a time of day a timestamp names no instant, and
// the event counts as an event without a timestamp.
//
// # Answers
//
// An answer is PagerDuty's: 202 with the dedup_key, or 400 with the errors. An error names a field and
// never contains a value of the event. A refused event wrote nothing.
//
//   - 202: the event is written, or changes nothing.
//   - 400, 413, 415: the event is unusable. The routing key is unknown, too: PagerDuty answers 400.
//   - 403: the [incident.Authorizer] denies [Options.User] access.
//   - 429: more than [Options.MaxInProgress] events are in progress.
//   - 500: the outcome is unknown, or the error is of another kind.
//   - 503: the store is unavailable, or other writers were faster too often.
//
// Repeating helps after 429, 500 and 503. Alertmanager's integration repeats 429 and all of 5xx,
// as PagerDuty advises. Other clients, such as go-pagerduty, leave that to their callers.
package events

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/incidentkit/incident"
)

// Trigger is the trigger of each incident of this package. Its incidents have no other, so that a
// resolve closes them.
const Trigger incident.TriggerID = "event"

// The defaults of [Options].
const (
	// DefaultMaxBodySize is PagerDuty's limit.
	DefaultMaxBodySize = 512 << 10

	DefaultMaxInProgress = 256

	DefaultTolerance = time.Minute
)

// Options tunes a [Handler].
type Options struct {
	// Routes has a route for each routing key. Required.
	Routes []Route

	// User acknowledges incidents. The user is subscribed to them, and an
	// [incident.Authorizer] must let the user in.
	//
	// Defaults to none: a program acknowledges.
	User incident.UserID

	// MaxBodySize is the maximum size of an event, in bytes.
	//
	// Defaults to [DefaultMaxBodySize].
	MaxBodySize int64

	// MaxInProgress is the most events that call the Manager at the same time. Further events
	// are answered 429. Events with an unknown routing key do not count.
	//
	// Defaults to [DefaultMaxInProgress].
	MaxInProgress int

	// Tolerance is how much older than the end of an incident the timestamp of a new trigger may
	// be. A resolve without a timestamp is as of its arrival, so that a delay of a second and a
	// clock that is a second slow would silence a new trigger. An old trigger of that time that is
	// delivered after the resolve opens an incident. Negative for none.
	//
	// Defaults to [DefaultTolerance].
	Tolerance time.Duration

	// Logger receives the errors of the Manager. Refused events are only counted: see
	// [Handler.Stats].
	//
	// Defaults to [slog.Default].
	Logger *slog.Logger
}

// withDefaults returns a completed copy without the routes.
func (o *Options) withDefaults() (Options, error) {
	var c Options
	if o != nil {
		c = *o
	}
	c.Routes = nil
	if c.MaxBodySize < 0 || c.MaxInProgress < 0 {
		return c, errors.New("events: MaxBodySize and MaxInProgress must not be negative")
	}
	if len(c.User) > incident.MaxIDSize {
		return c, fmt.Errorf("events: User has %d bytes, limit %d", len(c.User), incident.MaxIDSize)
	}
	if c.User != "" && !incident.IsID(c.User) {
		return c, errors.New("events: User must be valid UTF-8 without control characters")
	}
	c.MaxBodySize = cmp.Or(c.MaxBodySize, DefaultMaxBodySize)
	c.MaxInProgress = cmp.Or(c.MaxInProgress, DefaultMaxInProgress)
	c.Tolerance = cmp.Or(c.Tolerance, DefaultTolerance)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c, nil
}

// Handler is the [http.Handler] that receives events. It is safe for concurrent use. It bounds the
// memory of a request; bound its time with ReadTimeout of the [http.Server].
//
// It answers POST at each path that ends in /v2/enqueue, and at the root of a mount with
// [http.StripPrefix]. Other paths are not found, among them PagerDuty's /v2/change/enqueue.
type Handler struct {
	manager incident.Manager
	options Options
	routes  []route
	permits chan struct{} // one entry for each event in progress
	counters
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler that writes the events of the routes to m.
func New(m incident.Manager, o *Options) (*Handler, error) {
	if m == nil {
		return nil, errors.New("events: a Manager is required")
	}
	c, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Handler{manager: m, options: c, permits: make(chan struct{}, c.MaxInProgress)}
	if o == nil || len(o.Routes) == 0 {
		return nil, errors.New("events: Options.Routes has no route")
	}
	if h.routes, err = checkRoutes(o.Routes); err != nil {
		return nil, err
	}
	return h, nil
}

// NewKey returns a new random routing key: 32 hexadecimal digits, as PagerDuty's have.
func NewKey() string {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails
	return hex.EncodeToString(key[:])
}
