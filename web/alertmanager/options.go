package alertmanager

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// Defaults and limits of [Options].
const (
	DefaultSource       = "alertmanager"
	DefaultProject      = incident.ProjectID("alerts")
	DefaultMaxBodySize  = 16 << 20
	DefaultTimeout      = 30 * time.Second
	DefaultLateDelivery = 30 * time.Minute

	// MaxAlertSize is the most bytes of an alert's JSON. A larger alert cannot be used.
	MaxAlertSize = 1 << 20
)

var (
	// ErrUnauthorized is returned by an [Options.Authenticate] that does not know the sender:
	// the answer has status 401.
	ErrUnauthorized = errors.New("unknown sender")

	// ErrSkip is returned by an [Options.Map] for an alert that makes no incident.
	ErrSkip = errors.New("the alert makes no incident")
)

// Options tunes a [Handler].
type Options struct {
	// Organization owns the incidents. Required without Authenticate.
	Organization incident.OrganizationID

	// Tokens are the bearer tokens that are accepted. Several permit a rotation. A token
	// should be random: only its hash is kept, and it is never logged.
	Tokens []string

	// Username and Password are accepted as basic authentication, beside Tokens.
	Username, Password string

	// Authenticate replaces Organization, Tokens, Username and Password: it returns the
	// organization that the request may write to. For an unknown sender it returns
	// [ErrUnauthorized]. Any other error is logged, and the answer has status 503. It must not
	// write to the response.
	Authenticate func(r *http.Request) (incident.OrganizationID, error)

	// Source names the Alertmanager cluster or Grafana, 1 to [incident.MaxIDSize] bytes. The
	// same alert from two sources opens two incidents. Do not change it while incidents are
	// active: their alerts would open others. Defaults to [DefaultSource].
	Source string

	// ProjectLabel is the label with the affected project. An alert without the label affects
	// Project. Defaults to none: all alerts affect Project.
	ProjectLabel string

	// Project defaults to [DefaultProject].
	Project incident.ProjectID

	// SeverityLabel is the label with the severity. Defaults to "severity".
	SeverityLabel string

	// Severities gives the status of each severity, in lower case: [incident.StatusWarning]
	// or [incident.StatusCritical]. Defaults to [DefaultSeverities].
	Severities map[string]incident.Status

	// OtherSeverity is the status of a severity that Severities does not have, and of an alert
	// without a severity. Defaults to [incident.StatusWarning].
	OtherSeverity incident.Status

	// Map changes the firing that the default mapping has made of an alert. Fields that the
	// alert lacks are empty. It decides for firings and resolutions, and for
	// [Reconciler]: equal labels must have an equal Slot and TriggerID, in all processes. Alerts
	// that share both share a trigger, and the end of any of them resolves it. Map is called
	// concurrently. Afterwards the handler sets OrganizationID, Date, Episode,
	// DetectionUUID and the label [SourceLabel].
	//
	// With [ErrSkip] the alert makes no incident; with any other error it cannot be used.
	// Defaults to no change.
	Map func(a *Alert, f *incident.Firing) error

	// ReopenWithin is the [incident.Firing.ReopenWithin] of each firing. Defaults to 0: each
	// episode of an alert that is alone in its incident opens an incident.
	ReopenWithin time.Duration

	// LateDelivery is how long after its resolution an episode of an alert may still be
	// delivered as firing, by a repeated request or another Alertmanager of the cluster. A
	// firing that arrives later means that the resolution was wrong, as after an outage
	// between Prometheus and Alertmanager: the alert fires again. It should be longer than the
	// longest group_interval together with the time after which Alertmanager ends an alert that
	// Prometheus does not send again, by default 4 minutes. Defaults to [DefaultLateDelivery].
	LateDelivery time.Duration

	// MaxBodySize is the most bytes of a request. A larger request has status 413.
	// Alertmanager does not repeat it: its alerts are lost. Defaults to [DefaultMaxBodySize].
	MaxBodySize int64

	// Timeout bounds the writes of a request. Defaults to [DefaultTimeout].
	Timeout time.Duration

	// Now is the clock. Defaults to [time.Now].
	Now func() time.Time

	// Logger receives alerts that cannot be used, and failures. Defaults to [slog.Default].
	Logger *slog.Logger
}

// DefaultSeverities returns the default of [Options.Severities]. The caller owns the result.
func DefaultSeverities() map[string]incident.Status {
	severities := map[string]incident.Status{"warning": incident.StatusWarning}
	for _, name := range []string{"critical", "page", "emergency", "fatal", "p1", "sev1"} {
		severities[name] = incident.StatusCritical
	}
	return severities
}

// check validates o, and sets the defaults.
func (o *Options) check() error {
	switch {
	case o.Authenticate != nil && (o.Organization != "" || len(o.Tokens) > 0 || o.Username != "" || o.Password != ""):
		return refused("Options.Authenticate excludes Organization, Tokens, Username and Password")
	case o.Authenticate == nil && o.Organization == "":
		return refused("Options.Organization or Options.Authenticate is required")
	case o.Organization != "" && !incident.IsID(o.Organization) || o.Project != "" && !incident.IsID(o.Project):
		return refused("Options.Organization and Project must have at most %d bytes, and no control characters", incident.MaxIDSize)
	case o.Authenticate == nil && len(o.Tokens) == 0 && o.Username == "":
		return refused("Options.Tokens, Options.Username or Options.Authenticate is required")
	case (o.Username == "") != (o.Password == ""):
		return refused("Options.Username and Options.Password must be set together")
	case strings.Contains(o.Username, ":"):
		return refused("Options.Username must not have a colon")
	case len(o.Source) > incident.MaxIDSize || id(o.Source) != o.Source && o.Source != "":
		return refused("Options.Source must have at most %d bytes, no control characters, and no # in front", incident.MaxIDSize)
	case o.LateDelivery < 0 || o.Timeout < 0 || o.MaxBodySize < 0 || o.ReopenWithin < 0:
		return refused("Options must not be negative")
	}
	for _, token := range o.Tokens {
		if strings.TrimSpace(token) != token || token == "" {
			return refused("Options.Tokens must not be empty, or have spaces around")
		}
	}
	o.Source = cmp.Or(o.Source, DefaultSource)
	o.Project = cmp.Or(o.Project, DefaultProject)
	o.SeverityLabel = cmp.Or(o.SeverityLabel, "severity")
	o.OtherSeverity = cmp.Or(o.OtherSeverity, incident.StatusWarning)
	o.LateDelivery = cmp.Or(o.LateDelivery, DefaultLateDelivery)
	o.MaxBodySize = cmp.Or(o.MaxBodySize, DefaultMaxBodySize)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	return o.checkSeverities()
}

func (o *Options) checkSeverities() error {
	if o.Severities == nil {
		o.Severities = DefaultSeverities()
	}
	o.Severities = maps.Clone(o.Severities)
	for name, status := range o.Severities {
		if name != strings.ToLower(name) {
			return refused("Options.Severities must have names in lower case")
		}
		if !isSeverity(status) {
			return refused("Options.Severities must be warning or critical")
		}
	}
	if !isSeverity(o.OtherSeverity) {
		return refused("Options.OtherSeverity must be warning or critical")
	}
	return nil
}

func isSeverity(s incident.Status) bool {
	return s == incident.StatusWarning || s == incident.StatusCritical
}

func refused(format string, args ...any) error {
	return fmt.Errorf("alertmanager: %w: %s", incident.ErrInvalid, fmt.Sprintf(format, args...))
}
